extension GGUFCursor {
  /// A metadata value: its type id and what follows.
  mutating func value(of key: String) throws(ModelFormatError) -> GGUFValue {
    switch try type(of: key) {
    case .uint8: .uint8(try number(quoted(key)))
    case .int8: .int8(try number(quoted(key)))
    case .uint16: .uint16(try number(quoted(key)))
    case .int16: .int16(try number(quoted(key)))
    case .uint32: .uint32(try number(quoted(key)))
    case .int32: .int32(try number(quoted(key)))
    case .float32: .float32(try number(quoted(key)))
    case .bool: .bool(try bool(quoted(key)))
    case .string: .string(try string(quoted(key), limit: limits.stringBytes))
    case .array: .array(try array(of: key, depth: 1))
    case .uint64: .uint64(try number(quoted(key)))
    case .int64: .int64(try number(quoted(key)))
    case .float64: .float64(try number(quoted(key)))
    }
  }

  /// An array: its element type, its count and the elements.
  private mutating func array(
    of key: String, depth: Int
  ) throws(ModelFormatError) -> GGUFArray {
    let place = offset
    guard depth <= limits.arrayDepth else {
      throw fault(
        .limitExceeded, "\(quoted(key)) nests arrays deeper than \(limits.arrayDepth)", at: place)
    }
    let type = try type(of: key)
    let count = try count(
      "The length of \(quoted(key))", limit: limits.arrayElements, minimumBytes: type.minimumBytes)
    switch type {
    case .uint8: return .uint8(try numbers(count, quoted(key)))
    case .int8: return .int8(try numbers(count, quoted(key)))
    case .uint16: return .uint16(try numbers(count, quoted(key)))
    case .int16: return .int16(try numbers(count, quoted(key)))
    case .uint32: return .uint32(try numbers(count, quoted(key)))
    case .int32: return .int32(try numbers(count, quoted(key)))
    case .float32: return .float32(try numbers(count, quoted(key)))
    case .uint64: return .uint64(try numbers(count, quoted(key)))
    case .int64: return .int64(try numbers(count, quoted(key)))
    case .float64: return .float64(try numbers(count, quoted(key)))
    case .bool:
      var values: [Bool] = []
      values.reserveCapacity(count)
      for _ in 0..<count { values.append(try bool(quoted(key))) }
      return .bool(values)
    case .string:
      var values: [String] = []
      values.reserveCapacity(count)
      for _ in 0..<count {
        values.append(try string("An element of \(quoted(key))", limit: limits.stringBytes))
      }
      return .string(values)
    case .array:
      var values: [GGUFArray] = []
      values.reserveCapacity(count)
      for _ in 0..<count { values.append(try array(of: key, depth: depth + 1)) }
      return .array(values)
    }
  }

  private mutating func type(of key: String) throws(ModelFormatError) -> GGUFValueType {
    let place = offset
    let raw: UInt32 = try number("The type of \(quoted(key))")
    guard let type = GGUFValueType(rawValue: raw) else {
      throw fault(.malformed, "\(quoted(key)) has the unknown value type \(raw)", at: place)
    }
    return type
  }
}
