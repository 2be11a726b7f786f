import Tensors
import TestModels
import Testing

/// Blocks written as the formats' descriptions say (the block structures of ggml, `ggml-common.h`),
/// from numbers that are known, and what these stand for.
@Suite("Weight formats")
struct WeightFormatTests {
  private func half(_ value: Float16) -> [UInt8] { withUnsafeBytes(of: value) { [UInt8]($0) } }

  private func unpacked(_ type: DType, _ bytes: [UInt8]) -> [Float] {
    unpack(type, MatrixShape(rows: 1, columns: type.blockElements), bytes)[0]
  }

  private func quants(_ count: Int, below limit: UInt8, _ numbers: inout SeededNumbers) -> [UInt8] {
    (0..<count).map { _ in UInt8.random(in: 0..<limit, using: &numbers) }
  }

  @Test("q8_0: a scale times a signed byte")
  func q8() {
    var numbers = SeededNumbers(seed: 41)
    let bytes = numbers.bytes(32)
    let scale: Float16 = 0.01
    let expected = bytes.map { Float(scale) * Float(Int8(bitPattern: $0)) }
    #expect(unpacked(.q8, half(scale) + bytes) == expected)
  }

  @Test("q4_0: a scale times a number less 8; value i and value i + 16 share a byte")
  func q4() {
    var numbers = SeededNumbers(seed: 42)
    let values = quants(32, below: 16, &numbers)
    let scale: Float16 = -0.75
    let bytes = (0..<16).map { values[$0] | values[$0 + 16] << 4 }
    let expected = values.map { Float(scale) * (Float($0) - 8) }
    #expect(unpacked(.q4, half(scale) + bytes) == expected)
  }

  @Test("q5_0: a scale times a number less 16; the fifth bits come first")
  func q5() {
    var numbers = SeededNumbers(seed: 43)
    let values = quants(32, below: 32, &numbers)
    let scale: Float16 = 0.3
    var fifths = UInt32(0)
    for (index, value) in values.enumerated() { fifths |= UInt32(value >> 4) << UInt32(index) }
    let bytes = (0..<16).map { values[$0] & 15 | (values[$0 + 16] & 15) << 4 }
    let expected = values.map { Float(scale) * (Float($0) - 16) }
    let block = half(scale) + withUnsafeBytes(of: fifths.littleEndian) { [UInt8]($0) } + bytes
    #expect(unpacked(.q5, block) == expected)
  }

  @Test("q4_K: a scaled scale times a number, less a scaled minimum, both of six bits")
  func q4K() {
    var numbers = SeededNumbers(seed: 44)
    let values = quants(256, below: 16, &numbers)
    let scales = quants(8, below: 64, &numbers)
    let mins = quants(8, below: 64, &numbers)
    let scale: Float16 = 0.02
    let min: Float16 = 0.07
    var packed = [UInt8](repeating: 0, count: 12)
    for part in 0..<4 {
      packed[part] = scales[part] | (scales[part + 4] >> 4) << 6
      packed[part + 4] = mins[part] | (mins[part + 4] >> 4) << 6
      packed[part + 8] = scales[part + 4] & 15 | (mins[part + 4] & 15) << 4
    }
    let bytes = (0..<128).map { (index: Int) -> UInt8 in
      let first = index / 32 * 64 + index % 32
      return values[first] | values[first + 32] << 4
    }
    let expected = values.enumerated().map { index, value in
      Float(scale) * Float(scales[index / 32]) * Float(value)
        - Float(min) * Float(mins[index / 32])
    }
    #expect(unpacked(.q4K, half(scale) + half(min) + packed + bytes) == expected)
  }

  @Test("q6_K: a scaled scale of eight bits times a number less 32")
  func q6K() {
    var numbers = SeededNumbers(seed: 45)
    let values = quants(256, below: 64, &numbers)
    let scales = numbers.bytes(16)
    let scale: Float16 = 0.004
    var low = [UInt8](repeating: 0, count: 128)
    var high = [UInt8](repeating: 0, count: 64)
    for (index, value) in values.enumerated() {
      let (half, quarter, place) = (index / 128, index % 128 / 32, index % 32)
      low[half * 64 + quarter % 2 * 32 + place] |= (value & 15) << UInt8(quarter / 2 * 4)
      high[half * 32 + place] |= (value >> 4) << UInt8(quarter * 2)
    }
    let expected = values.enumerated().map { index, value in
      Float(scale) * Float(Int8(bitPattern: scales[index / 16])) * (Float(value) - 32)
    }
    #expect(unpacked(.q6K, low + high + scales + half(scale)) == expected)
  }
}
