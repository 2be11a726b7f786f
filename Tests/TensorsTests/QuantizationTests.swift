import CKernels
import Tensors
import TestModels
import Testing

@Suite("Quantization")
struct QuantizationTests {
  struct Quantized: Equatable {
    var quants: [Int8] = []
    var scales: [UInt32] = []
    var magics: [UInt32] = []
    var scaledSums: [UInt32] = []
    var starts: [Int32] = []
    var rowScales: [UInt32] = []
  }

  private func quantize(_ row: [Float], _ path: mk_path) -> Quantized {
    var blocks = [mk_block](repeating: mk_block(), count: row.count / 32)
    mk_quantize_row(path, row, row.count, &blocks)
    var result = Quantized()
    for block in blocks {
      withUnsafeBytes(of: block.quants) { result.quants += $0.map { Int8(bitPattern: $0) } }
      result.scales += bits([block.scale])
      result.magics += bits([block.magic])
      result.scaledSums += bits([block.scaled_sum])
      result.starts += [
        block.start_q8, block.start_q4, block.start_q6.0, block.start_q6.1,
      ]
      result.rowScales += bits([block.row_scale])
    }
    return result
  }

  private let paths = [MK_PATH_SCALAR, MK_PATH_AVX2, MK_PATH_AVX512].filter(mk_path_supported)

  @Test(
    "All paths quantize to the same bits, odd magnitudes included",
    arguments: [Float(1e-38), 1e-31, 1e-29, 1e-3, 1, 3e4, 1e30, 3e38])
  func sameBits(magnitude: Float) {
    var numbers = SeededNumbers(seed: 21)
    for blocks in [1, 2, 5, 40] {
      var row = numbers.activations(blocks * 32).map { $0 * magnitude }
      row[3] = -0.0
      let reference = quantize(row, MK_PATH_SCALAR)
      for path in paths { #expect(quantize(row, path) == reference) }
    }
  }

  @Test("What a block tells of its quants follows from them, exactly where it must")
  func completesBlocks() {
    var numbers = SeededNumbers(seed: 22)
    let row = numbers.activations(60 * 32)
    let largest = row.map(abs).max() ?? 0
    for path in paths {
      let quantized = quantize(row, path)
      #expect(quantized.rowScales.allSatisfy { $0 == (largest / 127).bitPattern })
      for block in 0..<60 {
        let quants = quantized.quants[block * 32..<(block + 1) * 32].map { Int32($0) }
        let low = quants[..<16].reduce(0, +)
        let high = quants[16...].reduce(0, +)
        let scale = Float(bitPattern: quantized.scales[block])
        let magic = Float(12_582_912) * scale
        #expect(quantized.magics[block] == magic.bitPattern)
        #expect(quantized.scaledSums[block] == (scale * Float(low + high)).bitPattern)
        let starts = [128 * (low + high), 8 * (low + high), 32 * low, 32 * high]
        #expect(
          Array(quantized.starts[block * 4..<block * 4 + 4])
            == starts.map { Int32(bitPattern: magic.bitPattern) - $0 })
      }
    }
  }

  @Test("A block has the smallest power of two as its scale that keeps its largest within 127")
  func chosenScales() {
    var numbers = SeededNumbers(seed: 23)
    let row = numbers.activations(200 * 32)
    let largest = row.map(abs).max() ?? 0
    for path in paths {
      let quantized = quantize(row, path)
      for block in 0..<200 {
        let values = row[block * 32..<(block + 1) * 32]
        var scale = largest
        var exponent = 0
        while exponent < 20, (values.map(abs).max() ?? 0) <= scale / 2 {
          scale /= 2
          exponent += 1
        }
        #expect(Float(bitPattern: quantized.scales[block]) == scale / largest)
        for (value, quant) in zip(values, quantized.quants[(block * 32)...]) {
          // Off by half a step, and by what rounding 127 / largest adds.
          #expect(abs(Double(value) / Double(scale) * 127 - Double(quant)) < 0.50002)
        }
      }
    }
  }

  /// Blocks whose largest are a power of two below the row's, exactly, a bit more and a bit less.
  @Test("Scales change where they have to, to the bit", arguments: [Float(1.75), 1, 0x1.fffffep0])
  func edgesOfScales(largest: Float) {
    var row = [Float](repeating: largest / 2, count: 32)
    row[5] = -largest
    var expected = [0]
    for power in 0...24 {
      let value = Float(sign: .plus, exponent: -power, significand: largest)
      for (edge, exponent) in [
        (value, power), (value.nextDown, power), (value.nextUp, max(power - 1, 0)),
      ] where edge <= largest {
        row += [edge] + [Float](repeating: -edge / 3, count: 31)
        expected.append(min(exponent, 20))
      }
    }
    for path in paths {
      let quantized = quantize(row, path)
      #expect(
        quantized.scales
          == expected.map { Float(sign: .plus, exponent: -$0, significand: 1).bitPattern })
      for (block, exponent) in expected.enumerated() where block > 0 && exponent < 20 {
        #expect((63...127).contains(quantized.quants[block * 32]))
      }
    }
  }

  @Test("The largest and the smallest rows are quantized as others are")
  func edgesOfRows() {
    for path in paths {
      for largest in [Float(0x1p100).nextDown, 0x1p-100] {
        var row = [Float](repeating: largest, count: 64)
        // Next to nothing beside it, and less than a normal number.
        row[40] = largest * 0x1p-20
        row[41] = .leastNonzeroMagnitude
        for index in row.indices where index > 41 { row[index] = 0 }
        for index in 32..<40 { row[index] = 0 }
        let quantized = quantize(row, path)
        #expect(
          quantized.rowScales == [Float](repeating: largest / 127, count: 2).map(\.bitPattern))
        #expect(quantized.quants[..<32].allSatisfy { $0 == 127 })
        #expect(quantized.quants[40] == 127 && quantized.quants[41] == 0)
      }
      let under = quantize([Float](repeating: Float(0x1p-100).nextDown, count: 32), path)
      #expect(under.rowScales == [0] && under.quants.allSatisfy { $0 == 0 })
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
    for path in paths {
      let quantized = quantize(row, path)
      #expect(Array(quantized.quants[0...4]) == [-127, 0, 2, -2, 127])
      #expect(quantized.rowScales == [Float(1).bitPattern])
      #expect(quantized.scales == [Float(1).bitPattern])
      let magic = Int32(bitPattern: Float(12_582_912).bitPattern)
      #expect(quantized.starts == [Int32](repeating: magic, count: 4))
    }
  }

  @Test(
    "A row with a value that is not finite, or too large, is marked by its scale",
    arguments: [Float.nan, .infinity, -.infinity, 0x1p100])
  func marksWhatIsNotFinite(value: Float) {
    var row = [Float](repeating: 1, count: 64)
    row[40] = value
    for path in paths {
      let quantized = quantize(row, path)
      #expect(quantized.rowScales.allSatisfy { Float(bitPattern: $0).isNaN })
      #expect(quantized.quants.allSatisfy { $0 == 0 })
    }
  }

  @Test("A row of next to nothing becomes zeros", arguments: [Float(0), 0x1p-101, 0x1p-140])
  func nextToNothing(value: Float) {
    for path in paths {
      let quantized = quantize([Float](repeating: value, count: 64), path)
      #expect(quantized.rowScales == [0, 0])
      #expect(quantized.quants.allSatisfy { $0 == 0 })
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
