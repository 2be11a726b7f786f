import Foundation
import Tensors
import TestModels
import Testing

@Suite("Functions that must be the same on every machine")
struct TranscendentalTests {
  @Test("log and exp in double precision agree with the system's to 1e-13")
  func doubles() {
    var numbers = SeededNumbers(seed: 41)
    for _ in 0..<2_000 {
      let x = Double.random(in: -300...300, using: &numbers)
      let power = Foundation.exp(x)
      #expect(abs(Compute.exp(x) - power) <= 1e-13 * power)
      #expect(abs(Compute.log(power) - Foundation.log(power)) <= 1e-13 * max(abs(x), 1e-3))
    }
    #expect(Compute.exp(0) == 1 && Compute.log(1) == 0)
    #expect(Compute.exp(-1e9) == 0)
  }

  @Test("Rotation turns by position times frequency, also far out", arguments: [0, 1, 77, 30_000])
  func rotation(position: Int) throws {
    let frequencies = RotaryTable.frequencies(dimension: 8, base: 10_000)
    let table = try RotaryTable(frequencies: frequencies, positions: position + 1)
    for (pair, frequency) in frequencies.enumerated() {
      let expected = Foundation.pow(10_000, -2 * Double(pair) / 8)
      #expect(abs(frequency - expected) <= 1e-13)
    }
    for path in fastPaths + [.scalar] {
      var head: [Float] = [1, 0, 0, 1, 3, 4, 1, 1, 9, 9]
      try Compute(path: path).rope(
        &head, heads: 1, headDimension: 10, table: table.view, position: position)
      let first = Double(position) * frequencies[0]
      let second = Double(position) * frequencies[1]
      #expect(abs(Double(head[0]) - cos(first)) < 1e-6)
      #expect(abs(Double(head[1]) - sin(first)) < 1e-6)
      #expect(abs(Double(head[2]) + sin(second)) < 1e-6)
      #expect(abs(Double(head[3]) - cos(second)) < 1e-6)
      #expect(abs((head[4] * head[4] + head[5] * head[5]) - 25) < 1e-4)
      #expect(head[8] == 9 && head[9] == 9)
    }
  }

  @Test("Factors divide and the scale multiplies the frequencies")
  func scaledFrequencies() {
    let plain = RotaryTable.frequencies(dimension: 4, base: 500_000)
    let scaled = RotaryTable.frequencies(
      dimension: 4, base: 500_000, scale: 0.25, factors: [1, 8])
    #expect(scaled == [plain[0] * 0.25, plain[1] * 0.25 / 8])
  }
}
