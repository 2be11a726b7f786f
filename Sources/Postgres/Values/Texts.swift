public import Foundation

extension String: PostgresEncodable, PostgresDecodable {
  public static var postgresType: PostgresType { .text }
  public func encode(into bytes: inout [UInt8]) { bytes.append(contentsOf: utf8) }

  public static func decode(_ bytes: ArraySlice<UInt8>, type: PostgresType) throws -> String {
    switch type {
    case .text, .varchar, .bpchar, .name, .json, .unknown: break
    case .jsonb: return try JSONText.decode(bytes, type: type).text
    default: throw mismatch(type, bytes.count)
    }
    guard let text = String(validating: bytes, as: UTF8.self) else {
      throw mismatch(type, bytes.count)
    }
    return text
  }
}

/// A JSON document as text, for columns of type `jsonb`.
public struct JSONText: Hashable, Sendable, PostgresEncodable, PostgresDecodable {
  public var text: String

  public init(_ text: String) {
    self.text = text
  }

  /// The version that opens the binary form of `jsonb`.
  private static let version: UInt8 = 1

  public static var postgresType: PostgresType { .jsonb }

  public func encode(into bytes: inout [UInt8]) {
    bytes.append(Self.version)
    bytes.append(contentsOf: text.utf8)
  }

  public static func decode(_ bytes: ArraySlice<UInt8>, type: PostgresType) throws -> JSONText {
    guard type == .jsonb, bytes.first == version,
      let text = String(validating: bytes.dropFirst(), as: UTF8.self)
    else { throw mismatch(type, bytes.count) }
    return JSONText(text)
  }
}

extension UUID: PostgresEncodable, PostgresDecodable {
  public static var postgresType: PostgresType { .uuid }

  public func encode(into bytes: inout [UInt8]) {
    withUnsafeBytes(of: uuid) { bytes.append(contentsOf: $0) }
  }

  public static func decode(_ bytes: ArraySlice<UInt8>, type: PostgresType) throws -> UUID {
    guard type == .uuid, bytes.count == 16 else { throw mismatch(type, bytes.count) }
    return bytes.withUnsafeBytes { UUID(uuid: $0.loadUnaligned(as: uuid_t.self)) }
  }
}

extension Data: PostgresEncodable, PostgresDecodable {
  public static var postgresType: PostgresType { .bytea }
  public func encode(into bytes: inout [UInt8]) { bytes.append(contentsOf: self) }

  public static func decode(_ bytes: ArraySlice<UInt8>, type: PostgresType) throws -> Data {
    guard type == .bytea else { throw mismatch(type, bytes.count) }
    return Data(bytes)
  }
}

/// A `timestamptz`: whole microseconds since 1970-01-01 00:00 UTC, as exact as the server's own.
public struct PostgresInstant: Hashable, Comparable, Sendable {
  public var microsecondsSinceEpoch: Int64

  public init(microsecondsSinceEpoch: Int64) {
    self.microsecondsSinceEpoch = microsecondsSinceEpoch
  }

  public static func < (lhs: PostgresInstant, rhs: PostgresInstant) -> Bool {
    lhs.microsecondsSinceEpoch < rhs.microsecondsSinceEpoch
  }
}

extension PostgresInstant: PostgresEncodable, PostgresDecodable {
  /// 2000-01-01 00:00 UTC, from which the server counts.
  private static let serverEpochMicroseconds: Int64 = 946_684_800_000_000

  public static var postgresType: PostgresType { .timestamptz }

  public func encode(into bytes: inout [UInt8]) {
    (microsecondsSinceEpoch &- Self.serverEpochMicroseconds).appendBigEndian(to: &bytes)
  }

  public static func decode(
    _ bytes: ArraySlice<UInt8>, type: PostgresType
  ) throws -> PostgresInstant {
    guard type == .timestamptz, let value = Int64(bigEndianBytes: bytes),
      value != .max, value != .min  // infinity and -infinity have no place here
    else { throw mismatch(type, bytes.count) }
    return PostgresInstant(microsecondsSinceEpoch: value &+ serverEpochMicroseconds)
  }
}
