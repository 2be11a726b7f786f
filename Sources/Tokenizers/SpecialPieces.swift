/// Pieces that are found whole in a text before anything is merged.
///
/// The longest pieces come first, wherever they stand; of equally long ones the leftmost. So
/// `<|im_end|>` is never taken apart by a piece `<|`.
struct SpecialPieces: Sendable {
  /// A special piece in a text.
  struct Match: Equatable {
    let token: TokenID
    /// Byte offsets in the text.
    let range: Range<Int>
  }

  private let table: PieceTable
  /// The lengths that occur among pieces with this first byte, longest first.
  private let lengths: [[Int]]

  init(_ pieces: [(id: TokenID, text: String)]) {
    table = PieceTable(pieces)
    var sets = [Set<Int>](repeating: [], count: 256)
    for (_, text) in pieces {
      if let first = text.utf8.first { sets[Int(first)].insert(text.utf8.count) }
    }
    lengths = sets.map { $0.sorted(by: >) }
  }

  /// Marks the pieces inside `range` that do not touch what is taken already.
  ///
  /// Each position waits in the bucket of its longest piece. The buckets are emptied longest first;
  /// a position whose piece runs into a taken one moves to the bucket of its next shorter piece.
  func mark(
    _ text: UnsafeBufferPointer<UInt8>, in range: Range<Int>, taken: inout [Bool],
    matches: inout [Match]
  ) {
    guard !table.isEmpty else { return }
    var buckets: [Int: [Int]] = [:]
    for position in range {
      if let match = longest(text, at: position, end: range.upperBound, below: .max) {
        buckets[match.range.count, default: []].append(position)
      }
    }
    while let length = buckets.keys.max(), let positions = buckets.removeValue(forKey: length) {
      for position in positions.sorted() where !taken[position] {
        let next = longest(text, at: position, end: range.upperBound, below: length + 1)
        guard let match = next else { continue }
        if !taken[match.range.upperBound - 1] {
          for index in match.range { taken[index] = true }
          matches.append(match)
        } else if let shorter = longest(text, at: position, end: range.upperBound, below: length) {
          buckets[shorter.range.count, default: []].append(position)
        }
      }
    }
  }

  private func longest(
    _ text: UnsafeBufferPointer<UInt8>, at start: Int, end: Int, below limit: Int
  ) -> Match? {
    for length in lengths[Int(text[start])] where length < limit && start + length <= end {
      if let token = table.find(text[start..<start + length]) {
        return Match(token: token, range: start..<start + length)
      }
    }
    return nil
  }
}
