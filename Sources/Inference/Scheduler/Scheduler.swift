/// Decides which tokens of which sequences the next step computes.
///
/// A pure state machine. Each sequence has `known` tokens (prompt, and output so far) of which the
/// keys and values of the first `computed` are in the cache. A step takes
/// 1. one token of every sequence that waits for just one (decode), and
/// 2. with what is left of the budget, chunks of the others (prefill), oldest first.
///
/// Sequences have all the cache they can ever need from the day they are admitted, so none is ever
/// preempted. Decode tokens always fit: the budget is at least the number of sequences.
package struct Scheduler {
  /// How much a step may hold.
  package struct Limits: Hashable {
    /// Tokens of a step.
    package var tokens: Int
    /// Tokens of one sequence in a step.
    package var chunk: Int

    package init(tokens: Int, chunk: Int) {
      self.tokens = tokens
      self.chunk = chunk
    }
  }

  /// A run of one sequence's tokens to compute.
  package struct Work: Hashable {
    /// The sequence.
    package var sequence: UInt64
    /// The position of the first token.
    package var start: Int
    /// How many tokens.
    package var count: Int
    /// Whether the last one is the last that is known, so that its logits give the next.
    package var isLast: Bool
    /// Whether the run is of prompt tokens.
    package var isPrefill: Bool

    package init(sequence: UInt64, start: Int, count: Int, isLast: Bool, isPrefill: Bool) {
      self.sequence = sequence
      self.start = start
      self.count = count
      self.isLast = isLast
      self.isPrefill = isPrefill
    }
  }

  private struct Entry {
    let sequence: UInt64
    let prompt: Int
    var known: Int
    var computed: Int
  }

  private let limits: Limits
  private var entries: [Entry] = []

  /// No sequences yet.
  package init(limits: Limits) {
    self.limits = limits
  }

  /// Sequences in flight.
  package var count: Int { entries.count }

  /// Takes in a sequence whose first `tokens` tokens are known.
  package mutating func add(_ sequence: UInt64, tokens: Int) {
    entries.append(Entry(sequence: sequence, prompt: tokens, known: tokens, computed: 0))
  }

  /// Forgets a sequence; nothing happens if it is not known.
  package mutating func remove(_ sequence: UInt64) {
    entries.removeAll { $0.sequence == sequence }
  }

  /// The next step's work; empty only when there are no sequences.
  package func schedule() -> [Work] {
    var budget = limits.tokens
    var works: [Work] = []
    for entry in entries where entry.known - entry.computed == 1 && budget > 0 {
      works.append(work(entry, count: 1))
      budget -= 1
    }
    for entry in entries where entry.known - entry.computed > 1 && budget > 0 {
      let count = min(entry.known - entry.computed, limits.chunk, budget)
      works.append(work(entry, count: count))
      budget -= count
    }
    return works
  }

  /// Takes note that work was done, and whether a token was added to the sequence after it.
  package mutating func postprocess(_ work: Work, addsToken: Bool) {
    guard let index = entries.firstIndex(where: { $0.sequence == work.sequence }) else { return }
    entries[index].computed = work.start + work.count
    entries[index].known += addsToken ? 1 : 0
  }

  private func work(_ entry: Entry, count: Int) -> Work {
    Work(
      sequence: entry.sequence, start: entry.computed, count: count,
      isLast: entry.computed + count == entry.known, isPrefill: entry.computed < entry.prompt)
  }
}
