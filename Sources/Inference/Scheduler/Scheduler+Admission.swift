extension Scheduler {
  /// Takes a waiting sequence into the step if there are blocks for it; says whether there were.
  ///
  /// A new one needs blocks for its first chunk. One that was preempted needs them for all its
  /// tokens, and one more for every running sequence that goes before it: else it would be preempted
  /// again when the next of them crosses a border, and its tokens would be computed for nothing.
  /// Running sequences of a lower priority give way, if that is enough. There are none of the same
  /// priority that came later: they could not overtake it.
  mutating func admit(_ index: Int, _ plan: inout Plan) -> Bool {
    let found = findPrefix(index)
    let wanted = blocksToBegin(index, budget: plan.budget)
    let priority = sequences[index].priority
    if wanted > pool.available, wanted <= pool.available + blocksHeldOnly(below: priority) {
      while wanted > pool.available, let last = sequences.lastIndex(where: \.isRunning),
        sequences[last].priority < priority
      {
        preempt(last, &plan)
      }
    }
    guard wanted <= pool.available else {
      releaseBlocks(index)
      return false
    }
    sequences[index].state = .running
    sequences[index].prefillEnd = sequences[index].tokens.count
    if pool.cachesPrefixes { statistics.prefixLookups += 1 }
    credit(index, found: found)
    return proceed(index, &plan)
  }

  /// Blocks that nobody would use any more if all running sequences of lower priorities gave way:
  /// what they share with others would not come free.
  private func blocksHeldOnly(below priority: Int) -> Int {
    var users: [Int32: Int32] = [:]
    for sequence in sequences where sequence.isRunning && sequence.priority < priority {
      for block in sequence.heldBlocks { users[block, default: 0] += 1 }
    }
    return users.count { pool.users[Int($0.key)] == $0.value }
  }

  /// Blocks that a sequence must be able to take beside those that it has, to be admitted.
  private func blocksToBegin(_ index: Int, budget: Int) -> Int {
    let blocks = sequences[index].blocks.count
    if sequences[index].state == .preempted {
      let running = sequences[..<index].count(where: \.isRunning)
      return max(mostBlocks(for: sequences[index].tokens.count) - blocks, 0) + running
    }
    let chunk = min(sequences[index].pending, limits.chunk, budget)
    return pool.blocks(for: sequences[index].computed + chunk) - blocks
  }
}
