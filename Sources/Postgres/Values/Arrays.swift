public import Foundation

/// A type whose one-dimensional arrays can be sent and read.
public protocol PostgresArrayElement: PostgresEncodable, PostgresDecodable {
  static var postgresArrayType: PostgresType { get }
}

extension Bool: PostgresArrayElement {
  public static var postgresArrayType: PostgresType { .boolArray }
}
extension Int16: PostgresArrayElement {
  public static var postgresArrayType: PostgresType { .int2Array }
}
extension Int32: PostgresArrayElement {
  public static var postgresArrayType: PostgresType { .int4Array }
}
extension Int64: PostgresArrayElement {
  public static var postgresArrayType: PostgresType { .int8Array }
}
extension Float: PostgresArrayElement {
  public static var postgresArrayType: PostgresType { .float4Array }
}
extension Double: PostgresArrayElement {
  public static var postgresArrayType: PostgresType { .float8Array }
}
extension String: PostgresArrayElement {
  public static var postgresArrayType: PostgresType { .textArray }
}
extension UUID: PostgresArrayElement {
  public static var postgresArrayType: PostgresType { .uuidArray }
}
extension Data: PostgresArrayElement {
  public static var postgresArrayType: PostgresType { .byteaArray }
}
extension JSONText: PostgresArrayElement {
  public static var postgresArrayType: PostgresType { .jsonbArray }
}
extension PostgresInstant: PostgresArrayElement {
  public static var postgresArrayType: PostgresType { .timestamptzArray }
}
extension Optional: PostgresArrayElement where Wrapped: PostgresArrayElement {
  public static var postgresArrayType: PostgresType { Wrapped.postgresArrayType }
}

/// Layout (`array_send`): int32 dimensions, int32 has-nulls, uint32 element type; then per
/// dimension int32 length and int32 lower bound; then per element int32 length (-1 for NULL) and
/// its bytes. An empty array has no dimension.
extension Array: PostgresEncodable where Element: PostgresArrayElement {
  public static var postgresType: PostgresType { Element.postgresArrayType }

  public func encode(into bytes: inout [UInt8]) {
    let hasNulls = contains { $0.isNull }
    Int32(isEmpty ? 0 : 1).appendBigEndian(to: &bytes)
    Int32(hasNulls ? 1 : 0).appendBigEndian(to: &bytes)
    Element.postgresType.rawValue.appendBigEndian(to: &bytes)
    guard !isEmpty else { return }
    Int32(count).appendBigEndian(to: &bytes)
    Int32(1).appendBigEndian(to: &bytes)
    for element in self {
      let start = bytes.count
      Int32(-1).appendBigEndian(to: &bytes)
      guard !element.isNull else { continue }
      element.encode(into: &bytes)
      let length = UInt32(bytes.count - start - 4)
      for index in 0..<4 {
        bytes[start + index] = UInt8(truncatingIfNeeded: length >> UInt32(24 - 8 * index))
      }
    }
  }
}

extension Array: PostgresDecodable where Element: PostgresArrayElement {
  public static func decode(_ bytes: ArraySlice<UInt8>, type: PostgresType) throws -> [Element] {
    var rest = bytes
    func next() throws -> Int32 {
      guard let value = Int32(bigEndianBytes: rest.prefix(4)) else {
        throw mismatch(type, bytes.count)
      }
      rest = rest.dropFirst(4)
      return value
    }
    let dimensions = try next()
    _ = try next()
    let elementType = PostgresType(rawValue: UInt32(bitPattern: try next()))
    guard dimensions > 0 else { return [] }
    guard dimensions == 1 else { throw mismatch(type, bytes.count) }
    let count = try Int(next())
    _ = try next()
    // Every element takes four bytes at least: a damaged count reserves no memory.
    guard count >= 0, count <= rest.count / 4 else { throw mismatch(type, bytes.count) }
    var elements: [Element] = []
    elements.reserveCapacity(count)
    for _ in 0..<count {
      let length = try Int(next())
      guard length >= 0 else {
        elements.append(try Element.decodeNull())
        continue
      }
      guard length <= rest.count else { throw mismatch(type, bytes.count) }
      elements.append(try Element.decode(rest.prefix(length), type: elementType))
      rest = rest.dropFirst(length)
    }
    return elements
  }
}
