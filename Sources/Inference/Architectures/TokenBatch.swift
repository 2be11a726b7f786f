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

  /// Takes some of another batch's tokens, in ascending order, instead of those that it had.
  mutating func set(_ rows: some Collection<Int>, of other: TokenBatch) {
    removeAll()
    for row in rows {
      let table = other.tables[row], position = other.positions[row]
      if let last = runs.last, last.run.tokens < AttentionRun.maxTokens, last.run.blocks == table,
        last.run.length + last.run.tokens == position + 1
      {
        runs[runs.count - 1].run = AttentionRun(
          blocks: table, tokens: last.run.tokens + 1, length: last.run.length)
      } else {
        runs.append((count, AttentionRun(blocks: table, tokens: 1, length: position + 1)))
      }
      tokens.append(other.tokens[row])
      positions.append(position)
      tables.append(table)
    }
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
