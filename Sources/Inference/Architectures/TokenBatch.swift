/// The tokens of one step, of any number of sequences, each with its place.
struct TokenBatch {
  /// The tokens.
  private(set) var tokens: [Int32] = []
  /// The position of each in its sequence.
  private(set) var positions: [Int] = []
  /// The block table of each one's sequence.
  private(set) var tables: [UnsafePointer<Int32>] = []

  /// How many.
  var count: Int { tokens.count }

  /// Empties the batch and keeps its memory.
  mutating func removeAll() {
    tokens.removeAll(keepingCapacity: true)
    positions.removeAll(keepingCapacity: true)
    tables.removeAll(keepingCapacity: true)
  }

  /// Adds a run of tokens of one sequence that starts at a position; the table outlives the batch.
  mutating func append(
    _ run: some Collection<Int32>, start: Int, table: UnsafePointer<Int32>
  ) {
    for (offset, token) in run.enumerated() {
      tokens.append(token)
      positions.append(start + offset)
      tables.append(table)
    }
  }
}
