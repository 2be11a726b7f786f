/// Damage to the bytes of a file, as disks, networks and attackers do it.
package enum FileDamage {
  /// Turns over up to eight bits of a range.
  package static func flipBits(
    _ bytes: inout [UInt8], in range: Range<Int>, _ numbers: inout some RandomNumberGenerator
  ) {
    for _ in 0..<Int.random(in: 1...8, using: &numbers) {
      let index = Int.random(in: range, using: &numbers)
      bytes[index] ^= 1 << UInt8.random(in: 0...7, using: &numbers)
    }
  }

  /// Writes up to three numbers of eight bytes, many of them at the edges of what is possible.
  package static func patchNumbers(
    _ bytes: inout [UInt8], in range: Range<Int>, _ numbers: inout some RandomNumberGenerator
  ) {
    let edges: [UInt64] = [0, 1, .max, 1 << 63, 1 << 60, 1 << 32, UInt64(bytes.count)]
    for _ in 0..<Int.random(in: 1...3, using: &numbers) {
      let start = Int.random(in: range.lowerBound..<range.upperBound - 8, using: &numbers)
      let value =
        Bool.random(using: &numbers)
        ? UInt64.random(in: 0...UInt64.max, using: &numbers)
        : edges.randomElement(using: &numbers) ?? 0
      withUnsafeBytes(of: value.littleEndian) { bytes.replaceSubrange(start..<start + 8, with: $0) }
    }
  }
}
