/// Bytes of a GGUF file in the making: values one after another, little-endian.
struct GGUFOutput {
  var bytes: [UInt8] = []

  mutating func append<Number: BitwiseCopyable>(_ number: Number) {
    withUnsafeBytes(of: number) { bytes.append(contentsOf: $0) }
  }

  mutating func append(_ text: String) {
    append(UInt64(text.utf8.count))
    bytes += text.utf8
  }

  mutating func pad(_ count: Int) {
    bytes.append(contentsOf: repeatElement(0, count: count))
  }

  /// A type id and the value.
  mutating func append(_ value: GGUFValue) {
    append(value.typeID.rawValue)
    switch value {
    case .uint8(let number): append(number)
    case .int8(let number): append(number)
    case .uint16(let number): append(number)
    case .int16(let number): append(number)
    case .uint32(let number): append(number)
    case .int32(let number): append(number)
    case .float32(let number): append(number)
    case .bool(let flag): append(flag ? UInt8(1) : 0)
    case .string(let text): append(text)
    case .array(let array): append(array)
    case .uint64(let number): append(number)
    case .int64(let number): append(number)
    case .float64(let number): append(number)
    }
  }

  /// An element type, a count and the elements.
  private mutating func append(_ array: GGUFArray) {
    append(array.elementTypeID.rawValue)
    append(UInt64(array.count))
    switch array {
    case .uint8(let values): bytes += values
    case .int8(let values): append(all: values)
    case .uint16(let values): append(all: values)
    case .int16(let values): append(all: values)
    case .uint32(let values): append(all: values)
    case .int32(let values): append(all: values)
    case .float32(let values): append(all: values)
    case .bool(let values): append(all: values.map { $0 ? UInt8(1) : 0 })
    case .string(let values): values.forEach { append($0) }
    case .array(let values): values.forEach { append($0) }
    case .uint64(let values): append(all: values)
    case .int64(let values): append(all: values)
    case .float64(let values): append(all: values)
    }
  }

  private mutating func append<Number: BitwiseCopyable>(all numbers: [Number]) {
    numbers.withUnsafeBytes { bytes.append(contentsOf: $0) }
  }
}
