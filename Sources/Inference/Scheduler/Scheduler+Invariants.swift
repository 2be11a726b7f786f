extension Scheduler {
  /// What is wrong between two steps; `nil` if nothing is. For tests.
  package var problem: String? {
    if let problem = pool.problem(users: sequences.map(\.heldBlocks)) { return problem }
    for (earlier, later) in zip(sequences, sequences.dropFirst()) where !earlier.precedes(later) {
      return "sequence \(later.id) stands behind \(earlier.id), which it goes before"
    }
    for (index, sequence) in sequences.enumerated() {
      // Of those that come from one arrival any may go first.
      if !sequence.isRunning,
        sequences[index...].contains(where: {
          $0.isRunning && $0.priority == sequence.priority && $0.arrival != sequence.arrival
        })
      {
        return "sequence \(sequence.id) was overtaken"
      }
      if !sequence.isRunning, !sequence.blocks.isEmpty || sequence.computed > 0 {
        return "sequence \(sequence.id) waits and has blocks"
      }
      if sequence.blocks.count != pool.blocks(for: sequence.computed) {
        return "sequence \(sequence.id) has \(sequence.blocks.count) blocks for "
          + "\(sequence.computed) tokens"
      }
      let most = mostBlocks(for: sequence.tokenLimit)
      if sequence.heldBlocks.count > most {
        return "sequence \(sequence.id) holds \(sequence.heldBlocks.count) blocks, over \(most)"
      }
      if sequence.pending < 0 { return "sequence \(sequence.id) has computed unknown tokens" }
      if sequence.published != sequence.computed / pool.blockTokens {
        return "sequence \(sequence.id) has not published its full blocks"
      }
    }
    return nil
  }
}
