/// A set of bytes.
struct ByteSet: Sendable {
  private var words = SIMD4<UInt64>.zero

  /// The lowest of them.
  var first: UInt8? {
    words.indices.first { words[$0] != 0 }.map { UInt8(64 * $0 + words[$0].trailingZeroBitCount) }
  }

  /// How many of them are not above a byte.
  func count(upTo byte: UInt8) -> Int {
    let last = Int(byte) / 64
    var count = (words[last] << UInt64(63 - byte % 64)).nonzeroBitCount
    for word in 0..<last { count += words[word].nonzeroBitCount }
    return count
  }

  /// All of them, the lowest first.
  var bytes: [UInt8] {
    words.indices.flatMap { index -> [UInt8] in
      var word = words[index]
      var found: [UInt8] = []
      while word != 0 {
        found.append(UInt8(64 * index + word.trailingZeroBitCount))
        word &= word - 1
      }
      return found
    }
  }

  func contains(_ byte: UInt8) -> Bool { words[Int(byte) / 64] >> UInt64(byte % 64) & 1 == 1 }

  mutating func insert(_ bytes: ClosedRange<UInt8>) {
    for word in Int(bytes.lowerBound) / 64...Int(bytes.upperBound) / 64 {
      let low = max(Int(bytes.lowerBound) - 64 * word, 0)
      let high = min(Int(bytes.upperBound) - 64 * word, 63)
      words[word] |= ~0 << UInt64(low) & ~0 >> UInt64(63 - high)
    }
  }

  mutating func formUnion(_ other: ByteSet) { words |= other.words }
  mutating func formIntersection(_ other: ByteSet) { words &= other.words }
  mutating func subtract(_ other: ByteSet) { words &= ~other.words }
  func isDisjoint(with other: ByteSet) -> Bool { words & other.words == .zero }
  func isSubset(of other: ByteSet) -> Bool { words & ~other.words == .zero }
}
