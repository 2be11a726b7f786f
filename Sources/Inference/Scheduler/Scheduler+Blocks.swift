import Tensors

extension Scheduler {
  /// Adds a running sequence's next tokens to the step, as many as limits and blocks allow, and
  /// gives it the blocks for them. Where there is room for none, the lowest ranks are preempted, it
  /// itself if all others go before it: then this returns false.
  ///
  /// `drafts` is how many tokens it would like to draft behind its last one.
  @discardableResult
  mutating func proceed(_ index: Int, drafts: Int = 0, _ plan: inout Plan) -> Bool {
    while room(index) == 0, let last = sequences.lastIndex(where: \.isRunning) {
      preempt(last, &plan)
      if last == index { return false }
    }
    let start = sequences[index].computed
    let pending = sequences[index].pending
    let count = min(pending, limits.chunk, plan.budget, room(index))
    let drafted = count == pending ? min(drafts, draftRoom(index, plan)) : 0
    while sequences[index].blocks.count < pool.blocks(for: start + count + drafted),
      let block = pool.take()
    {
      sequences[index].blocks.append(block)
    }
    plan.budget -= count + drafted
    plan.draftBudget -= drafted
    plan.works.append(
      Work(
        sequence: sequences[index].id, start: start, count: count, isLast: count == pending,
        isPrefill: start < sequences[index].prefillEnd, drafts: drafted))
    return true
  }

  /// Tokens that a sequence can draft at most: the last one that it may grow to is never drafted,
  /// nobody is preempted for a draft, and those that are still to be planned get their own first.
  private func draftRoom(_ index: Int, _ plan: Plan) -> Int {
    let known = sequences[index].tokens.count
    let free = max(0, pool.available - plan.reserved - plan.promptBlocks)
    let blocks = sequences[index].blocks.count + free
    return max(
      0,
      min(
        sequences[index].tokenLimit - known - 1, plan.draftBudget,
        plan.budget - 1 - plan.reserved - plan.promptTokens, blocks * pool.blockTokens - known))
  }

  /// Tokens that a sequence could compute in its blocks and those that can be taken.
  private func room(_ index: Int) -> Int {
    (sequences[index].blocks.count + pool.available) * pool.blockTokens - sequences[index].computed
  }

  /// Takes a running sequence out of the step, and its blocks from it.
  mutating func preempt(_ index: Int, _ plan: inout Plan) {
    let id = sequences[index].id
    for work in plan.works where work.sequence == id {
      plan.budget += work.count + work.drafts
      plan.draftBudget += work.drafts
    }
    plan.works.removeAll { $0.sequence == id }
    preempt(index)
  }

  /// Takes its blocks from a running sequence that is in no step.
  mutating func preempt(_ index: Int) {
    releaseBlocks(index)
    sequences[index].state = .preempted
    statistics.preemptions += 1
  }

  /// Takes all blocks from a sequence; the published ones are kept while there is room.
  mutating func releaseBlocks(_ index: Int) {
    pool.release(all: sequences[index].heldBlocks)
    sequences[index].blocks.removeAll(keepingCapacity: true)
    sequences[index].passed = 0
    sequences[index].published = 0
    sequences[index].computed = 0
  }

  /// Lets a sequence go on behind the published blocks that hold its next tokens; returns the
  /// positions of the tokens found. The last known one is always left to compute, for its logits.
  mutating func findPrefix(_ index: Int) -> Range<Int> {
    let size = pool.blockTokens
    let start = sequences[index].computed
    while pool.cachesPrefixes, !sequences[index].computesAll {
      let published = sequences[index].published
      let end = (published + 1) * size
      guard end < sequences[index].tokens.count,
        let block = pool.share(
          sequences[index].tokens[end - size..<end], after: sequences[index].lastPublished,
          salt: sequences[index].salt)
      else { break }
      if sequences[index].blocks.count > published {
        // The block of its own that it had begun to fill is of no more use.
        pool.release(sequences[index].blocks[published])
        sequences[index].blocks[published] = block
      } else {
        sequences[index].blocks.append(block)
      }
      sequences[index].published += 1
      sequences[index].computed = end
    }
    return start..<sequences[index].computed
  }

  /// Counts tokens that `findPrefix` found.
  mutating func credit(_ index: Int, found: Range<Int>) {
    sequences[index].credit(found: found)
    statistics.prefixHitTokens += found.count
  }

  /// Gives back the blocks of tokens that no token to come sees, and leaves their places empty.
  mutating func releaseOutOfWindow(_ index: Int) {
    guard let window = limits.window else { return }
    let kept = window.firstKept(
      computed: sequences[index].computed, blockTokens: pool.blockTokens)
    let end = kept / pool.blockTokens
    for place in sequences[index].passed..<max(end, sequences[index].passed)
    where place >= pool.blocks(for: window.sinks) {
      pool.release(sequences[index].blocks[place])
      sequences[index].blocks[place] = -1
    }
    sequences[index].passed = max(end, sequences[index].passed)
  }

  /// The most blocks that a sequence of so many tokens has at a time.
  func mostBlocks(for tokens: Int) -> Int {
    limits.mostBlocks(for: tokens, blockTokens: pool.blockTokens)
  }

  /// Makes a sequence's full blocks known to others, or uses theirs where they were first.
  mutating func publish(_ index: Int) {
    let size = pool.blockTokens
    while (sequences[index].published + 1) * size <= sequences[index].computed {
      let place = sequences[index].published
      sequences[index].blocks[place] = pool.publish(
        sequences[index].blocks[place],
        sequences[index].tokens[place * size..<(place + 1) * size],
        after: sequences[index].lastPublished, salt: sequences[index].salt)
      sequences[index].published += 1
    }
  }
}

extension Scheduler.Limits {
  /// The most blocks that a sequence of so many tokens has at a time.
  package func mostBlocks(for tokens: Int, blockTokens: Int) -> Int {
    func blocks(_ tokens: Int) -> Int { (tokens + blockTokens - 1) / blockTokens }
    guard let window else { return blocks(tokens) }
    let computing = min(chunk, self.tokens) + drafts
    // One more, as it need not begin where a block does.
    let kept = window.mostKept(computing: computing, blockTokens: blockTokens)
    return min(blocks(tokens), blocks(window.sinks) + blocks(kept) + 1)
  }
}

extension ScheduledSequence {
  /// The block that the first one not published hangs on.
  fileprivate var lastPublished: Int32? { published == 0 ? nil : blocks[published - 1] }
}
