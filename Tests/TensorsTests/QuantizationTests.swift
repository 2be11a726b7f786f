import CKernels
import Tensors
import TestModels
import Testing

@Suite("Quantization")
struct QuantizationTests {
  struct Quantized: Equatable {
    var quants: [Int8]
    var scales: [UInt32]
    var sums: [Int32]
  }

  private func quantize(_ row: [Float], _ path: mk_path) -> Quantized {
    var quants = [Int8](repeating: 1, count: row.count)
    var scales = [Float](repeating: 1, count: row.count / 32)
    var sums = [Int32](repeating: 1, count: row.count / 32)
    mk_quantize_row(path, row, row.count, &quants, &scales, &sums)
    return Quantized(quants: quants, scales: bits(scales), sums: sums)
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
      #expect(quantized.sums == [0])
    }
  }

  @Test(
    "A block with a value that is not finite is marked by its scale",
    arguments: [
      Float.nan, .infinity, -.infinity,
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
