import Tensors

/// The tokens of one step, of any number of sequences, each with its place.
struct TokenBatch {
  /// The tokens.
  private(set) var tokens: [Int32] = []
  /// The position of each in its sequence.
  private(set) var positions: [Int] = []
  /// The block table of each one's sequence.
  private(set) var tables: [UnsafePointer<Int32>] = []

  /// The tokens again, cut into runs that attention takes together; each with its first token's
  /// place in the batch.
  private(set) var runs: [(first: Int, run: AttentionRun)] = []

  /// How many.
  var count: Int { tokens.count }

  /// Empties the batch and keeps its memory.
  mutating func removeAll() {
    tokens.removeAll(keepingCapacity: true)
    positions.removeAll(keepingCapacity: true)
    tables.removeAll(keepingCapacity: true)
    runs.removeAll(keepingCapacity: true)
  }

  /// Adds a run of tokens of one sequence that starts at a position; the table outlives the batch.
  mutating func append(
    _ run: some Collection<Int32>, start: Int, table: UnsafePointer<Int32>
  ) {
    for offset in stride(from: 0, to: run.count, by: AttentionRun.maxTokens) {
      let tokens = min(AttentionRun.maxTokens, run.count - offset)
      runs.append(
        (count + offset, AttentionRun(blocks: table, tokens: tokens, length: start + offset + 1)))
    }
    for (offset, token) in run.enumerated() {
      tokens.append(token)
      positions.append(start + offset)
      tables.append(table)
    }
  }
}
