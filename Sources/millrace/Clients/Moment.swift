import ArgumentParser
import Foundation
import SwiftProtobuf

/// A time as flags take it: `2030-01-31T18:00:00Z` (RFC 3339), or `+90s`, `+5m`, `+2h`, `+7d` from
/// now on.
struct Moment {
  let date: Date

  private static let units: [Character: Double] = ["s": 1, "m": 60, "h": 3_600, "d": 86_400]

  init(_ text: String) throws {
    guard let date = text.hasPrefix("+") ? Self.later(text.dropFirst()) : Self.timestamp(text)
    else {
      throw ValidationError("a time must be like 2030-01-31T18:00:00Z or +5m (s, m, h or d)")
    }
    self.date = date
  }

  var message: Google_Protobuf_Timestamp { Google_Protobuf_Timestamp(date: date) }

  private static func later(_ text: Substring) -> Date? {
    guard let unit = text.last.flatMap({ units[$0] }), let count = Double(text.dropLast()),
      0...1e9 ~= count * unit
    else { return nil }
    return Date(timeIntervalSinceNow: count * unit)
  }

  /// The JSON mapping of protobuf reads RFC 3339, with any number of digits and any zone.
  private static func timestamp(_ text: String) -> Date? {
    guard text.allSatisfy({ $0.isASCII && $0 != "\"" && $0 != "\\" }) else { return nil }
    return try? Google_Protobuf_Timestamp(jsonString: "\"\(text)\"").date
  }
}
