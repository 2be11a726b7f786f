/// Philox4x32-10, a counter-based random number generator: a pure function of a key and a counter.
///
/// Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3" (2011).
package enum Philox {
  /// Four words of a 128-bit counter under a 64-bit key.
  package static func block(counter: SIMD4<UInt32>, key: SIMD2<UInt32>) -> SIMD4<UInt32> {
    var c = counter
    var k = key
    for _ in 0..<10 {
      let first = UInt64(0xD251_1F53) * UInt64(c[0])
      let second = UInt64(0xCD9E_8D57) * UInt64(c[2])
      c = SIMD4(
        UInt32(truncatingIfNeeded: second >> 32) ^ c[1] ^ k[0],
        UInt32(truncatingIfNeeded: second),
        UInt32(truncatingIfNeeded: first >> 32) ^ c[3] ^ k[1],
        UInt32(truncatingIfNeeded: first))
      k = SIMD2(k[0] &+ 0x9E37_79B9, k[1] &+ 0xBB67_AE85)
    }
    return c
  }

  /// The one random number of a position: uniform in 0 ..< 1, with 53 bits.
  ///
  /// The key is the seed, the counter the position of the token in its sequence (prompt included) and
  /// the number of the output.
  package static func uniform(seed: UInt64, position: Int, output: Int = 0) -> Double {
    let place = UInt64(position)
    let words = block(
      counter: SIMD4(
        UInt32(truncatingIfNeeded: place), UInt32(truncatingIfNeeded: place >> 32),
        UInt32(truncatingIfNeeded: output), 0),
      key: SIMD2(UInt32(truncatingIfNeeded: seed), UInt32(truncatingIfNeeded: seed >> 32)))
    let bits = (UInt64(words[1]) << 32 | UInt64(words[0])) >> 11
    return Double(bits) * 0x1p-53
  }
}
