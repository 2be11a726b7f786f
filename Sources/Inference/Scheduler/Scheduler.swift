/// Decides which tokens of which sequences the next step computes, and in which blocks.
///
/// A pure state machine. Sequences stand in the order of their rank: by priority, then by age. A
/// step takes
/// 1. one token of every running sequence that waits for just one (decode), and
/// 2. with what is left of the budget, chunks of the others (prefill); those that wait are admitted
///    as long as there are blocks for them, and none overtakes one that cannot be,
///
/// each in the order of rank. A sequence takes blocks one by one as its tokens come to need them,
/// after looking for published blocks with the same prefix. When none is left, the running sequence
/// of the lowest rank is preempted: it keeps its tokens, gives up its blocks, and waits for its turn
/// in its old place, so that none that came later goes ahead of it.
/// A sequence that waits for one token may draft further ones, to be verified in the same step: it
/// gets room for them as far as nobody else's token or block is taken for it and half of the budget
/// is left to prompts, and gives back the blocks of those that were not accepted.
///
/// Where tokens see a window only, the blocks before it are given back as it moves on.
///
/// Where the next token is not chosen at once, a sequence rests with all its tokens computed, until it
/// is appended; it can be forked meanwhile, and the fork shares its blocks.
///
/// There is always progress: the first in rank that does not rest has work in every step, because it
/// can have all blocks but those of the ones before it. Who lets sequences rest until others have come
/// as far sees to it that they fit all together.
/// Nothing here changes what is computed, only when: keys and values are a function of the tokens
/// up to their own, so it does not matter who computed them, nor how often.
///
/// Source: continuous batching as in Orca (Yu et al., 2022), paged attention and preemption by
/// recomputation as in vLLM (Kwon et al., 2023).
package struct Scheduler {
  let limits: Limits
  /// All that were added and not removed, by rank.
  var sequences: [ScheduledSequence] = []
  /// The blocks of the cache.
  package internal(set) var pool: BlockPool
  /// What was done so far.
  package internal(set) var statistics = Statistics()
  private var arrivals: UInt64 = 0
  /// Forks so far.
  var forks: UInt64 = 0

  /// No sequences yet, and all blocks of a pool for them.
  package init(limits: Limits, pool: BlockPool) {
    precondition(
      limits.window == nil || !pool.cachesPrefixes, "what has left a window cannot be shared")
    self.limits = limits
    self.pool = pool
  }

  /// Sequences in flight, those that wait included.
  package var count: Int { sequences.count }

  /// Takes in a sequence. Its turn comes when a step has room for it.
  package mutating func add(_ arriving: Arrival) {
    arrivals += 1
    let new = ScheduledSequence(
      arriving, arrival: arrivals, blockLimit: pool.blocks(for: arriving.tokenLimit))
    sequences.insert(new, at: sequences.firstIndex { new.precedes($0) } ?? sequences.count)
  }

  /// Forgets a sequence and takes its blocks back; nothing happens if it is not known.
  package mutating func remove(_ sequence: UInt64) {
    guard let index = index(of: sequence) else { return }
    pool.release(all: sequences.remove(at: index).heldBlocks)
  }

  /// The next step's work; empty only when there are no sequences.
  ///
  /// To be computed before anything else is asked of the scheduler, and told to `postprocess`.
  ///
  /// - Parameters:
  ///   - pace: the most prompt tokens beside sequences that wait for one token; without such
  ///     sequences, or `nil`, as many as fit.
  ///   - besideOthers: whether there are such sequences elsewhere.
  ///   - drafts: how many tokens sequences that wait for one token would like to draft.
  package mutating func schedule(
    pace: Int? = nil, besideOthers: Bool = false, drafts: [UInt64: Int] = [:]
  ) -> [Work] {
    var plan = Plan(budget: limits.tokens, draftBudget: limits.drafts)
    plan.reserved = sequences.indices.count(where: isDecoding)
    if plan.reserved < sequences.count {
      plan.promptTokens = max(limits.tokens / 2, 1)
      plan.promptBlocks = pool.blocks(for: limits.chunk) + 1
    }
    for index in sequences.indices where isDecoding(index) && plan.budget > 0 {
      plan.reserved -= 1
      proceed(index, drafts: drafts[sequences[index].id] ?? 0, &plan)
    }
    if let pace, besideOthers || !plan.works.isEmpty {
      plan.budget = min(plan.budget, max(pace, 1))
    }
    let decoding = Set(plan.works.map(\.sequence))
    var admits = true
    for index in sequences.indices where plan.budget > 0 {
      if !sequences[index].isRunning {
        admits = admits && admit(index, &plan)
      } else if sequences[index].pending > 0, !decoding.contains(sequences[index].id) {
        credit(index, found: findPrefix(index))
        // One that gives way itself is not to be overtaken either.
        admits = proceed(index, &plan) && admits
      }
    }
    return plan.works
  }

  /// Whether a sequence waits for one token.
  package var isDecoding: Bool { sequences.indices.contains(where: isDecoding) }

  /// The sequences that wait for one token, by rank.
  package var decoding: [UInt64] {
    sequences.indices.filter(isDecoding).map { sequences[$0].id }
  }

  /// Takes note that work was done, and of the tokens that were chosen after it: the next one, and
  /// before it those drafted that were accepted. Blocks that only rejected ones needed come free.
  /// Without a token after its last work a sequence rests until one is appended.
  package mutating func postprocess(
    _ work: Work, tokens: some Collection<Int32> = EmptyCollection()
  ) {
    guard let index = index(of: work.sequence) else { return }
    let accepted = max(tokens.count - 1, 0)
    sequences[index].advance(to: work.start + work.count + accepted)
    sequences[index].tokens.append(contentsOf: tokens)
    while sequences[index].blocks.count > pool.blocks(for: sequences[index].computed) {
      pool.release(sequences[index].blocks.removeLast())
    }
    publish(index)
    releaseOutOfWindow(index)
  }

  /// A sequence's tokens so far; empty if it is not known.
  package func tokens(of sequence: UInt64) -> [Int32] {
    index(of: sequence).map { sequences[$0].tokens } ?? []
  }

  /// Tokens of a sequence that have keys and values.
  package func computedTokens(of sequence: UInt64) -> Int {
    index(of: sequence).map { sequences[$0].computed } ?? 0
  }

  /// The blocks of a sequence's tokens, in order, -1 for those that have left the window; none while
  /// it waits.
  package func blocks(of sequence: UInt64) -> [Int32] {
    index(of: sequence).map { sequences[$0].blocks } ?? []
  }

  /// Prompt tokens of a sequence that were found and never computed for it.
  package func cachedPromptTokens(of sequence: UInt64) -> Int {
    index(of: sequence).map { sequences[$0].cachedPromptTokens } ?? 0
  }

  func index(of sequence: UInt64) -> Int? {
    sequences.firstIndex { $0.id == sequence }
  }

  private func isDecoding(_ index: Int) -> Bool {
    sequences[index].isRunning && sequences[index].pending == 1
  }
}
