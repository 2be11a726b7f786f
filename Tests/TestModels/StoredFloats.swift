import ModelFormats

extension GGUFTensorType {
  /// Floats as this type stores them; of quantized types the largest magnitude in a block becomes
  /// the largest number.
  func encode(_ floats: [Float]) -> [UInt8] {
    var bytes: [UInt8] = []
    func add<Value>(_ value: Value) { withUnsafeBytes(of: value) { bytes += $0 } }
    switch self {
    case .f16: floats.forEach { add(Float16($0)) }
    case .bf16: floats.forEach { add(UInt16($0.bitPattern >> 16)) }
    case .q8_0:
      for start in stride(from: 0, to: floats.count, by: 32) {
        let block = floats[start..<start + 32]
        let scale = (block.map(abs).max() ?? 0) / 127
        add(Float16(scale))
        block.forEach { add(Int8(($0 / scale).rounded())) }
      }
    case .q4_0, .q5_0:
      let zero: Float = self == .q4_0 ? 8 : 16
      for start in stride(from: 0, to: floats.count, by: 32) {
        let block = floats[start..<start + 32]
        let scale = (block.map(abs).max() ?? 0) / (zero - 1)
        add(Float16(scale))
        let values = block.map { UInt32(($0 / scale).rounded() + zero) }
        if self == .q5_0 {
          add(values.enumerated().reduce(UInt32(0)) { $0 | ($1.element >> 4) << UInt32($1.offset) })
        }
        for i in 0..<16 { add(UInt8(values[i] & 15 | (values[i + 16] & 15) << 4)) }
      }
    case .q4K, .q6K:
      for start in stride(from: 0, to: floats.count, by: 256) {
        let block = Array(floats[start..<start + 256])
        bytes += self == .q4K ? KQuants.q4K(block) : KQuants.q6K(block)
      }
    case .f32: floats.forEach { add($0) }
    default: bytes = Array(repeating: 0, count: floats.count / blockElements * blockBytes)
    }
    return bytes
  }
}

/// Blocks of 256 numbers with scales of their own for parts of them (the block structures of ggml,
/// `ggml-common.h`).
private enum KQuants {
  /// The scale of the whole, and for each part of `size` numbers which multiple of it, up to `most`,
  /// makes its largest magnitude `levels` steps.
  private static func scales(
    _ block: [Float], size: Int, levels: Float, most: Float
  ) -> (whole: Float16, parts: [UInt8]) {
    let whole = Float16((block.map(abs).max() ?? 0) / (levels * most))
    let parts = stride(from: 0, to: 256, by: size).map { start in
      let largest = block[start..<start + size].map(abs).max() ?? 0
      return UInt8(min(max((largest / (levels * Float(whole))).rounded(.up), 1), most))
    }
    return (whole, parts)
  }

  /// Four bits a number; eight is the middle, so a part's minimum is eight times its scale.
  static func q4K(_ block: [Float]) -> [UInt8] {
    let (whole, parts) = scales(block, size: 32, levels: 7, most: 63)
    let values = block.enumerated().map { index, value in
      UInt8(min(max((value / (Float(whole) * Float(parts[index / 32]))).rounded() + 8, 0), 15))
    }
    var packed = [UInt8](repeating: 0, count: 12)
    for part in 0..<4 {
      let high = parts[part + 4]
      packed[part] = parts[part] | (high >> 4) << 6
      packed[part + 4] = packed[part]
      packed[part + 8] = high & 15 | (high & 15) << 4
    }
    let quants = (0..<128).map { (index: Int) -> UInt8 in
      let first = index / 32 * 64 + index % 32
      return values[first] | values[first + 32] << 4
    }
    return half(whole) + half(whole * 8) + packed + quants
  }

  /// Six bits a number; 32 is the middle.
  static func q6K(_ block: [Float]) -> [UInt8] {
    let (whole, parts) = scales(block, size: 16, levels: 31, most: 127)
    var low = [UInt8](repeating: 0, count: 128)
    var high = [UInt8](repeating: 0, count: 64)
    for (index, value) in block.enumerated() {
      let step = Float(whole) * Float(parts[index / 16])
      let number = UInt8(min(max((value / step).rounded() + 32, 0), 63))
      let (half, quarter, place) = (index / 128, index % 128 / 32, index % 32)
      low[half * 64 + quarter % 2 * 32 + place] |= (number & 15) << UInt8(quarter / 2 * 4)
      high[half * 32 + place] |= (number >> 4) << UInt8(quarter * 2)
    }
    return low + high + parts + half(whole)
  }

  private static func half(_ value: Float16) -> [UInt8] {
    withUnsafeBytes(of: value) { [UInt8]($0) }
  }
}
