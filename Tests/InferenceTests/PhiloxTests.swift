import Inference
import Testing

@Suite("Random numbers")
struct PhiloxTests {
  struct Vector: Sendable {
    let counter: SIMD4<UInt32>
    let key: SIMD2<UInt32>
    let result: SIMD4<UInt32>
  }

  /// From the known-answer tests of Random123 (kat_vectors, philox4x32 with 10 rounds).
  static let vectors = [
    Vector(
      counter: SIMD4(repeating: 0), key: SIMD2(repeating: 0),
      result: SIMD4(0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8)),
    Vector(
      counter: SIMD4(repeating: .max), key: SIMD2(repeating: .max),
      result: SIMD4(0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd)),
    Vector(
      counter: SIMD4(0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344),
      key: SIMD2(0xa409_3822, 0x299f_31d0),
      result: SIMD4(0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1)),
  ]

  @Test("Philox4x32-10 gives the published answers", arguments: vectors)
  func knownAnswers(vector: Vector) {
    #expect(Philox.block(counter: vector.counter, key: vector.key) == vector.result)
  }

  @Test("A position's number is made of its block's first two words")
  func uniformFromBlock() {
    let bits = (UInt64(0xe169_c58d) << 32 | UInt64(0x6627_e8d5)) >> 11
    #expect(Philox.uniform(seed: 0, position: 0) == Double(bits) / 9_007_199_254_740_992)
  }

  @Test("Numbers are spread evenly and differ between seeds")
  func even() {
    var counts = [Int](repeating: 0, count: 10)
    for position in 0..<20_000 {
      counts[Int(Philox.uniform(seed: 42, position: position) * 10)] += 1
    }
    // Five standard deviations of a bin of 2,000.
    #expect(counts.allSatisfy { abs($0 - 2_000) < 215 })
    #expect(Philox.uniform(seed: 1, position: 9) != Philox.uniform(seed: 2, position: 9))
  }
}
