/// A value that can be sent as a parameter, in PostgreSQL's binary format.
///
/// Binary, because it is exact (floats, microseconds) and needs no quoting or parsing.
public protocol PostgresEncodable: Sendable {
  /// The type that the parameter is declared with.
  static var postgresType: PostgresType { get }
  /// Appends the binary form, without its length.
  func encode(into bytes: inout [UInt8])
  var isNull: Bool { get }
}

extension PostgresEncodable {
  public var isNull: Bool { false }
}

/// A value that can be read from a column in binary format.
public protocol PostgresDecodable: Sendable {
  /// - Throws: `PostgresError.Code.decoding` for a type or length that does not fit.
  static func decode(_ bytes: ArraySlice<UInt8>, type: PostgresType) throws -> Self
  /// What SQL's NULL becomes; throws where there is no such value.
  static func decodeNull() throws -> Self
}

extension PostgresDecodable {
  public static func decodeNull() throws -> Self {
    throw PostgresError(
      code: .decoding, message: "NULL where \(Self.self) was expected; decode an optional instead")
  }

  static func mismatch(_ type: PostgresType, _ length: Int) -> PostgresError {
    PostgresError(
      code: .decoding,
      message: "cannot read a \(Self.self) from \(length) bytes of the type with OID "
        + "\(type.rawValue); cast the column in the statement")
  }
}

extension Optional: PostgresEncodable where Wrapped: PostgresEncodable {
  public static var postgresType: PostgresType { Wrapped.postgresType }
  public func encode(into bytes: inout [UInt8]) { self?.encode(into: &bytes) }
  public var isNull: Bool { self?.isNull ?? true }
}

extension Optional: PostgresDecodable where Wrapped: PostgresDecodable {
  public static func decode(_ bytes: ArraySlice<UInt8>, type: PostgresType) throws -> Wrapped? {
    try Wrapped.decode(bytes, type: type)
  }

  public static func decodeNull() -> Wrapped? { nil }
}

/// Network byte order.
extension FixedWidthInteger {
  func appendBigEndian(to bytes: inout [UInt8]) {
    withUnsafeBytes(of: bigEndian) { bytes.append(contentsOf: $0) }
  }

  /// The number in exactly `bitWidth / 8` bytes; `nil` for any other length.
  init?(bigEndianBytes bytes: ArraySlice<UInt8>) {
    guard bytes.count == Self.bitWidth / 8 else { return nil }
    self = bytes.withUnsafeBytes { Self(bigEndian: $0.loadUnaligned(as: Self.self)) }
  }
}
