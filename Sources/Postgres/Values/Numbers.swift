extension Bool: PostgresEncodable, PostgresDecodable {
  public static var postgresType: PostgresType { .bool }
  public func encode(into bytes: inout [UInt8]) { bytes.append(self ? 1 : 0) }

  public static func decode(_ bytes: ArraySlice<UInt8>, type: PostgresType) throws -> Bool {
    guard type == .bool, bytes.count == 1 else { throw mismatch(type, bytes.count) }
    return bytes.first != 0
  }
}

extension Int16: PostgresEncodable, PostgresDecodable {
  public static var postgresType: PostgresType { .int2 }
  public func encode(into bytes: inout [UInt8]) { appendBigEndian(to: &bytes) }

  public static func decode(_ bytes: ArraySlice<UInt8>, type: PostgresType) throws -> Int16 {
    guard type == .int2, let value = Int16(bigEndianBytes: bytes) else {
      throw mismatch(type, bytes.count)
    }
    return value
  }
}

extension Int32: PostgresEncodable, PostgresDecodable {
  public static var postgresType: PostgresType { .int4 }
  public func encode(into bytes: inout [UInt8]) { appendBigEndian(to: &bytes) }

  public static func decode(_ bytes: ArraySlice<UInt8>, type: PostgresType) throws -> Int32 {
    if type == .int2 { return try Int32(Int16.decode(bytes, type: type)) }
    guard type == .int4, let value = Int32(bigEndianBytes: bytes) else {
      throw mismatch(type, bytes.count)
    }
    return value
  }
}

extension Int64: PostgresEncodable, PostgresDecodable {
  public static var postgresType: PostgresType { .int8 }
  public func encode(into bytes: inout [UInt8]) { appendBigEndian(to: &bytes) }

  public static func decode(_ bytes: ArraySlice<UInt8>, type: PostgresType) throws -> Int64 {
    if type == .int2 || type == .int4 { return try Int64(Int32.decode(bytes, type: type)) }
    guard type == .int8, let value = Int64(bigEndianBytes: bytes) else {
      throw mismatch(type, bytes.count)
    }
    return value
  }
}

extension Float: PostgresEncodable, PostgresDecodable {
  public static var postgresType: PostgresType { .float4 }
  public func encode(into bytes: inout [UInt8]) { bitPattern.appendBigEndian(to: &bytes) }

  public static func decode(_ bytes: ArraySlice<UInt8>, type: PostgresType) throws -> Float {
    guard type == .float4, let bits = UInt32(bigEndianBytes: bytes) else {
      throw mismatch(type, bytes.count)
    }
    return Float(bitPattern: bits)
  }
}

extension Double: PostgresEncodable, PostgresDecodable {
  public static var postgresType: PostgresType { .float8 }
  public func encode(into bytes: inout [UInt8]) { bitPattern.appendBigEndian(to: &bytes) }

  public static func decode(_ bytes: ArraySlice<UInt8>, type: PostgresType) throws -> Double {
    if type == .float4 { return try Double(Float.decode(bytes, type: type)) }
    guard type == .float8, let bits = UInt64(bigEndianBytes: bytes) else {
      throw mismatch(type, bytes.count)
    }
    return Double(bitPattern: bits)
  }
}
