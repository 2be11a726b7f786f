import CKernels
import Tensors
import TestModels
import Testing

@Suite("Quantization")
struct QuantizationTests {
  struct Quantized: Equatable {
    var quants: [Int8] = []
    var scales: [UInt32] = []
    var offsets: [UInt32] = []
    var scaledSums: [UInt32] = []
    var starts: [Int32] = []
  }

  private func quantize(_ row: [Float], _ path: mk_path) -> Quantized {
    var blocks = [mk_block](repeating: mk_block(), count: row.count / 32)
    mk_quantize_row(path, row, row.count, &blocks)
    var result = Quantized()
    for block in blocks {
      withUnsafeBytes(of: block.quants) { result.quants += $0.map { Int8(bitPattern: $0) } }
      result.scales += bits([block.scale])
      result.offsets += bits([block.offset])
      result.scaledSums += bits([block.scaled_sum])
      result.starts += [
        block.start_q8, block.start_q4, block.start_q6.0, block.start_q6.1,
      ]
    }
    return result
  }

  private let paths = [MK_PATH_AVX2, MK_PATH_AVX512].filter { mk_path_supported($0) }

  @Test(
    "All paths quantize to the same bits, odd magnitudes included",
    arguments: [Float(1e-38), 1e-31, 1e-29, 1e-3, 1, 3e4, 3e38])
  func sameBits(magnitude: Float) {
    var numbers = SeededNumbers(seed: 21)
    for blocks in [1, 2, 5] {
      var row = numbers.floats(blocks * 32).map { $0 * magnitude }
      row[3] = -0.0
      let reference = quantize(row, MK_PATH_SCALAR)
      for path in paths { #expect(quantize(row, path) == reference) }
    }
  }

  /// The bits of 1.5 * 2^23.
  static let magic = Int32(bitPattern: Float(12_582_912).bitPattern)

  @Test("What a block tells of its quants follows from them, exactly where it must")
  func completesBlocks() {
    var numbers = SeededNumbers(seed: 22)
    for path in paths + [MK_PATH_SCALAR] {
      let row = numbers.floats(32, in: -3...5)
      let quantized = quantize(row, path)
      let low = quantized.quants[..<16].reduce(Int32(0)) { $0 + Int32($1) }
      let high = quantized.quants[16...].reduce(Int32(0)) { $0 + Int32($1) }
      let starts = [128 * (low + high), 8 * (low + high), 32 * low, 32 * high]
      #expect(quantized.starts == starts.map { Self.magic - $0 })
      let scale = Float(bitPattern: quantized.scales[0])
      #expect(quantized.scales[0] & 3 == 0)
      #expect(abs(scale * 127 - (row.map(abs).max() ?? 0)) < 1e-5)
      #expect(Double(Float(bitPattern: quantized.offsets[0])) == -12_582_912 * Double(scale))
      #expect(quantized.scaledSums == [(scale * Float(low + high)).bitPattern])
    }
  }

  @Test("Halves are rounded to even and quants stay within 127")
  func roundsHalfToEven() {
    var row = [Float](repeating: 0, count: 32)
    row[0] = -127
    row[1] = 0.5
    row[2] = 1.5
    row[3] = -2.5
    row[4] = 127
    for path in paths + [MK_PATH_SCALAR] {
      let quantized = quantize(row, path)
      #expect(Array(quantized.quants[0...4]) == [-127, 0, 2, -2, 127])
      #expect(quantized.scales == [Float(1).bitPattern])
      #expect(quantized.starts == [Int32](repeating: Self.magic, count: 4))
    }
  }

  @Test(
    "A block with a value that is not finite, or too large, is marked by its scale",
    arguments: [
      Float.nan, .infinity, -.infinity, 0x1p100,
    ])
  func marksWhatIsNotFinite(value: Float) {
    var row = [Float](repeating: 1, count: 64)
    row[40] = value
    for path in paths + [MK_PATH_SCALAR] {
      let quantized = quantize(row, path)
      #expect(!Float(bitPattern: quantized.scales[0]).isNaN)
      #expect(Float(bitPattern: quantized.scales[1]).isNaN)
      #expect(quantized.quants[32...].allSatisfy { $0 == 0 })
    }
  }

  @Test("Every half-precision number is unpacked exactly")
  func unpacksEveryHalf() {
    let halves = (UInt16.min...UInt16.max).map { $0 }
    var floats = [Float](repeating: 0, count: halves.count)
    halves.withUnsafeBytes { raw in
      guard let base = raw.baseAddress else { return }
      Compute.dequantize(.f16, row: base, columns: halves.count, out: &floats)
    }
    let expected = halves.map { Float(Float16(bitPattern: $0)) }
    #expect(bits(floats) == bits(expected))
  }
}
