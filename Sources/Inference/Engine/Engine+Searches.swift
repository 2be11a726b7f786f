import ModelFormats
import Tensors

extension Engine {
  /// What may come next in a search; nil where the logits are not finite.
  func expand(
    _ logits: UnsafePointer<Float>, _ sequence: RunningSequence, _ rules: TokenRules,
    _ scratch: UnsafeMutablePointer<Float>
  ) -> Expansion? {
    let options = sequence.request.options
    func expand(_ count: Int) -> Expansion? {
      sampler.expand(
        logits: logits, count: count, isRenormalized: sequence.owner.contrastive != nil,
        options: options, history: sequence.history, rules: rules, scratch: scratch)
    }
    guard let beam = sequence.owner.beam else {
      return expand(sequence.owner.contrastive?.options.topK ?? 1)
    }
    // So many that, whatever ends the text, as many go on as there are beginnings, or all that may.
    var count = beam.options.width + sequence.endCount
    while true {
      guard let found = expand(count) else { return nil }
      let goesOn = found.candidates.count { !sequence.ends(with: $0.token) }
      let isAll = found.candidates.count < count || count >= sampler.vocabulary
      if goesOn >= beam.options.width || isAll || beam.isLast { return found }
      count *= 4
    }
  }

  /// Takes note of the final hidden states that contrastive searches compare.
  func noteStates(_ works: [Scheduler.Work], _ drafts: [[DraftedToken]]) {
    var rows: [(owner: RunningRequest, sequence: UInt64, position: Int, row: Int)] = []
    var first = 0
    for (work, drafts) in zip(works, drafts) {
      if let owner = sequences[work.sequence]?.owner, owner.contrastive != nil {
        for offset in 0..<work.count {
          rows.append((owner, work.sequence, work.start + offset, first + offset))
        }
      }
      first += work.count + drafts.count
    }
    guard !rows.isEmpty else { return }
    let width = model.configuration.width
    let states = [[Float]](unsafeUninitializedCapacity: rows.count) { buffer, count in
      buffer.initialize(repeating: [])
      pass.pool.run(count: rows.count, grain: 8) { _, range in
        for index in range {
          let state = [Float](unsafeUninitializedCapacity: width) { memory, count in
            if let base = memory.baseAddress { pass.finalState(row: rows[index].row, out: base) }
            count = width
          }
          buffer[index] = state.withUnsafeBufferPointer(ContrastiveSearch.normalized)
        }
      }
      count = rows.count
    }
    for (row, state) in zip(rows, states) {
      row.owner.contrastive?.note(state, position: row.position, of: row.sequence)
    }
  }

  /// Takes note of what came of one of a search's sequences, and goes on where all are known.
  func advance(
    _ owner: RunningRequest, _ name: UInt64, _ verdict: Verdict
  ) -> [SequenceOutput] {
    if let failure = verdict.failure { return [fail(owner, failure)] }
    guard let expansion = verdict.expansion else { return [] }
    owner.cachedPromptTokens =
      owner.cachedPromptTokens ?? scheduler.cachedPromptTokens(of: name)
    if owner.beam != nil {
      owner.beam?.note(expansion, of: name)
      return owner.beam?.isKnown == true ? extend(owner) : []
    }
    guard owner.contrastive?.branches.isEmpty == false else {
      return tryOut(expansion, behind: name, owner)
    }
    owner.contrastive?.note(expansion, of: name)
    return owner.contrastive?.isKnown == true ? settle(owner) : []
  }

  private func fail(_ owner: RunningRequest, _ failure: InferenceError) -> SequenceOutput {
    var output = SequenceOutput(
      sequence: owner.request.sequence, firstIndex: owner.request.resumedTokens.count,
      failure: failure)
    end(&output, of: owner)
    return output
  }

  /// A sequence that one of a search's becomes with one more token.
  private struct Successor {
    let parent: UInt64
    let sequence: RunningSequence
    let token: Int32
    /// Why the output ends with it, if it does.
    let finish: FinishReason?
    /// The natural logarithm of its probability: of the whole text in a beam search, of the token in
    /// a contrastive one.
    let logScore: Double
  }

  private func successor(
    of parent: UInt64, _ candidate: Expansion.Candidate, _ expansion: Expansion, logScore: Double
  ) -> Successor? {
    guard let sequence = sequences[parent].map({ RunningSequence(copying: $0) }) else { return nil }
    let (token, finish) = sequence.append(
      TokenSampler.Choice(
        token: candidate.token, logprob: candidate.logprob, topLogprobs: expansion.topLogprobs))
    sequence.unreported.append(token)
    return Successor(
      parent: parent, sequence: sequence, token: candidate.token, finish: finish,
      logScore: logScore)
  }

  /// Puts successors in the places of the sequences that they come from; returns their names. The
  /// first one of each keeps the blocks, the others are forked.
  private func replace(_ parents: [UInt64], by successors: [Successor]) -> [UInt64] {
    let kept = Set(successors.map(\.parent))
    for parent in parents where !kept.contains(parent) { drop(parent) }
    var taken: Set<UInt64> = []
    let names = successors.map { successor in
      guard !taken.insert(successor.parent).inserted else { return successor.parent }
      successor.sequence.table = successor.sequence.owner.takeTable()
      let name = keep(successor.sequence)
      fork(successor.parent, into: name)
      return name
    }
    for (name, successor) in zip(names, successors) {
      sequences[name] = successor.sequence
      scheduler.append(successor.token, to: name)
    }
    return names
  }

  // MARK: Beam search

  /// Replaces a search's beginnings by the best of what may follow them.
  private func extend(_ owner: RunningRequest) -> [SequenceOutput] {
    guard let search = owner.beam else { return [] }
    let width = search.options.width
    var successors: [Successor] = []
    for (rank, continuation) in search.ranked().enumerated() where successors.count < width {
      // Those that go on are looked for further down, those that end are not.
      if rank >= width, search.isLast { break }
      guard let candidate = continuation.candidate else {
        if rank < width, let ended = sequences[continuation.beam] {
          owner.beam?.end(
            ended.unreported, trailingText: RunningSequence(copying: ended).finishText(), .stop,
            sum: continuation.score)
        }
        continue
      }
      if rank >= width, sequences[continuation.beam]?.ends(with: candidate.token) == true {
        continue
      }
      guard let expansion = search.expansion(of: continuation.beam),
        let next = successor(
          of: continuation.beam, candidate, expansion, logScore: continuation.score)
      else { continue }
      if let finish = next.finish {
        guard rank < width else { continue }
        owner.beam?.end(next.sequence.unreported, finish, sum: next.logScore)
      } else {
        successors.append(next)
      }
    }
    let names = replace(search.beams.map(\.sequence), by: successors)
    owner.beam?.advance(
      to: zip(names, successors).map { BeamSearch.Beam(sequence: $0, score: $1.logScore) })
    return owner.beam?.isOver == true ? reportBest(owner) : []
  }

  /// Ends a search with the best of what it has found.
  private func reportBest(_ owner: RunningRequest) -> [SequenceOutput] {
    let request = owner.request
    let best = (owner.beam?.hypotheses ?? []).prefix(request.options.outputs)
    guard !best.isEmpty else {
      return [fail(owner, .noTokenFits(position: request.promptTokens.count))]
    }
    for (place, hypothesis) in best.enumerated()
    where !hypothesis.tokens.map(\.token).starts(with: request.resumed(output: place)) {
      return [fail(owner, .notResumed)]
    }
    owner.openOutputs = best.count
    return best.enumerated().map { place, hypothesis in
      let resumed = request.resumed(output: place)
      var output = SequenceOutput(
        sequence: request.sequence, output: place, firstIndex: resumed.count,
        tokens: Array(hypothesis.tokens.dropFirst(resumed.count)), finish: hypothesis.finish,
        trailingText: hypothesis.trailingText,
        cachedPromptTokens: owner.cachedPromptTokens ?? 0)
      end(&output, of: owner)
      return output
    }
  }

  // MARK: Contrastive search

  /// Tries the likeliest tokens behind the last one that is settled, each in a sequence of its own.
  private func tryOut(
    _ expansion: Expansion, behind name: UInt64, _ owner: RunningRequest
  ) -> [SequenceOutput] {
    let successors = expansion.candidates.compactMap { candidate in
      successor(of: name, candidate, expansion, logScore: candidate.logScore)
    }
    guard !successors.isEmpty else {
      let request = owner.request
      let count = sequences[name]?.outputCount ?? 0
      guard expansion.endsHere, let text = sequences[name]?.finishText() else {
        return [fail(owner, .noTokenFits(position: request.promptTokens.count + count))]
      }
      var output = SequenceOutput(
        sequence: request.sequence, firstIndex: count, finish: .stop, trailingText: text)
      end(&output, of: owner)
      return [output]
    }
    let names = replace([name], by: successors)
    owner.contrastive?.branches = zip(names, successors).map { name, successor in
      ContrastiveSearch.Branch(
        sequence: name, probability: Compute.exp(successor.logScore), finish: successor.finish)
    }
    return []
  }

  /// Settles on the best of the tokens that were tried, and goes on behind it.
  private func settle(_ owner: RunningRequest) -> [SequenceOutput] {
    guard let search = owner.contrastive, !search.branches.isEmpty else { return [] }
    let branches = search.branches
    let similarities = [Double](unsafeUninitializedCapacity: branches.count) { buffer, count in
      buffer.initialize(repeating: 0)
      pass.pool.run(count: branches.count) { _, range in
        for index in range { buffer[index] = search.similarity(of: branches[index]) }
      }
      count = branches.count
    }
    let place = search.best(similarities)
    guard let sequence = sequences[branches[place].sequence] else { return [] }
    owner.contrastive?.settle(place)
    let best = branches[place]
    for branch in branches where branch.sequence != best.sequence { drop(branch.sequence) }
    let tokens = sequence.unreported
    sequence.unreported = []
    var output = SequenceOutput(
      sequence: owner.request.sequence, firstIndex: sequence.outputCount - tokens.count,
      tokens: tokens, finish: best.finish,
      cachedPromptTokens: owner.cachedPromptTokens ?? 0)
    end(&output, of: owner)
    guard !output.isLast, let expansion = best.expansion else { return [output] }
    return [output] + tryOut(expansion, behind: best.sequence, owner)
  }
}
