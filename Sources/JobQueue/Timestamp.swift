import Foundation

/// A point in time, in whole microseconds since 1970-01-01 00:00 UTC.
///
/// Microseconds are what PostgreSQL's `timestamptz` holds, so a timestamp survives the database
/// unchanged, which a floating-point `Date` does not promise.
public struct Timestamp: Hashable, Comparable, Codable, Sendable {
  public var microsecondsSinceEpoch: Int64

  public init(microsecondsSinceEpoch: Int64) {
    self.microsecondsSinceEpoch = microsecondsSinceEpoch
  }

  /// The system's wall clock, rounded down to a microsecond.
  public static var now: Timestamp {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    return Timestamp(
      microsecondsSinceEpoch: Int64(time.tv_sec) * 1_000_000 + Int64(time.tv_nsec) / 1_000)
  }

  public static func < (lhs: Timestamp, rhs: Timestamp) -> Bool {
    lhs.microsecondsSinceEpoch < rhs.microsecondsSinceEpoch
  }

  public static func + (lhs: Timestamp, rhs: Duration) -> Timestamp {
    Timestamp(microsecondsSinceEpoch: lhs.microsecondsSinceEpoch &+ rhs.microseconds)
  }

  public static func - (lhs: Timestamp, rhs: Timestamp) -> Duration {
    .microseconds(lhs.microsecondsSinceEpoch &- rhs.microsecondsSinceEpoch)
  }

  public init(from decoder: any Decoder) throws {
    microsecondsSinceEpoch = try decoder.singleValueContainer().decode(Int64.self)
  }

  public func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    try container.encode(microsecondsSinceEpoch)
  }
}

extension Duration {
  /// The duration in whole microseconds, rounded towards zero.
  public var microseconds: Int64 {
    let (seconds, attoseconds) = components
    return seconds &* 1_000_000 &+ attoseconds / 1_000_000_000_000
  }
}
