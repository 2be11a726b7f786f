extension Engine {
  /// Computes one step: a token for every running sequence that is past its prompt, those drafted
  /// for it, and as much of the prompts of the others as budget and cache allow.
  ///
  /// Returns what came out, for the sequences for which something did. A sequence that ends or
  /// fails has left the engine. What goes wrong with one sequence is in its output; only what
  /// concerns all of them is thrown.
  /// - Parameter besideOthers: whether sequences of other engines wait for their next tokens while
  ///   this step is computed, which is then kept short for them too.
  public func step(besideOthers: Bool = false) throws(InferenceError) -> [SequenceOutput] {
    var outputs = reportComplete()
    let clock = ContinuousClock()
    let start = clock.now
    let plan = planDrafts()
    let works = scheduler.schedule(
      pace: pacer?.tokens, besideOthers: besideOthers, drafts: plan.counts)
    guard !works.isEmpty else { return outputs }
    for work in works {
      sequences[work.sequence]?.table.set(scheduler.blocks(of: work.sequence))
    }
    let drafts = makeDrafts(works, plan)
    let verifying = clock.now
    let rows = collect(works, drafts)
    pass.run(batch, finals: rows.states)
    pass.computeLogits(rows: rows.logits)
    noteStates(works, drafts)
    let decisions = decisions(works, drafts, plan)
    let verdicts = verify(decisions)
    if !works.contains(where: \.isPrefill) {
      speculationRecord.cost.record(
        tokens: batch.count, seconds: (clock.now - verifying) / .seconds(1))
    }
    for work in works where !work.isLast { scheduler.postprocess(work) }
    outputs += postprocess(decisions, verdicts)
    if works.contains(where: { !$0.isPrefill }) { speculationRecord.acceptance.endStep() }
    for decision in decisions { decision.sequence.acceptance.endStep() }
    count(works, outputs, seconds: (clock.now - start) / .seconds(1))
    return outputs
  }

  /// Whether a sequence is past its prompt and waits for its next token.
  public var isDecoding: Bool { scheduler.isDecoding }

  private func reportComplete() -> [SequenceOutput] {
    let names = complete
    return names.compactMap { name in
      guard let sequence = sequences[name], let found = sequence.finishIfComplete() else {
        return nil
      }
      var output = SequenceOutput(
        sequence: sequence.request.sequence, output: sequence.output,
        firstIndex: sequence.outputCount, finish: found.finish, trailingText: found.text)
      drop(name)
      end(&output, of: sequence.owner)
      return output
    }
  }

  /// Puts the tokens of all works into the batch, drafted ones behind the last known; returns the
  /// rows whose logits choose tokens, and those whose final states are read, for that or by a
  /// contrastive search.
  private func collect(
    _ works: [Scheduler.Work], _ drafts: [[DraftedToken]]
  ) -> (logits: [Int], states: [Int]) {
    var logits: [Int] = []
    var states: [Int] = []
    logits.reserveCapacity(works.count)
    states.reserveCapacity(works.count)
    batch.removeAll()
    for (work, drafted) in zip(works, drafts) {
      guard let sequence = sequences[work.sequence] else { continue }
      let first = batch.count
      let known = scheduler.tokens(of: work.sequence)[work.start..<work.start + work.count]
      batch.append(
        drafted.isEmpty ? known : known + drafted.map(\.token), start: work.start,
        table: sequence.table.base)
      let chosen = batch.count - 1 - drafted.count..<batch.count
      if work.isLast { logits += chosen }
      if sequence.owner.contrastive != nil {
        states += first..<batch.count
      } else if work.isLast {
        states += chosen
      }
    }
    return (logits, states)
  }

  /// Takes note of what was decided; returns what came out of it.
  private func postprocess(_ decisions: [Decision], _ verdicts: [Verdict]) -> [SequenceOutput] {
    for (decision, verdict) in zip(decisions, verdicts) {
      counters.maskedChoices += verdict.maskedChoices
      counters.maskSeconds += verdict.maskSeconds
      guard !decision.isFork else { continue }
      settle(decision, chosen: verdict.tokens.map(\.token))
      scheduler.postprocess(decision.work, tokens: verdict.tokens.lazy.map(\.token))
    }
    // A fork may take blocks from others, so that these have to be done with the step.
    var names: [UInt64] = []
    for (decision, verdict) in zip(decisions, verdicts) {
      names.append(decision.isFork ? fork(decision, verdict) : decision.work.sequence)
    }
    var outputs: [SequenceOutput] = []
    for (index, decision) in decisions.enumerated() {
      let owner = decision.sequence.owner
      // It may have failed with another one of its sequences.
      guard requests[owner.request.sequence] === owner else { continue }
      if owner.isSearch {
        // Another one of its sequences may have let the search go on: then this is of an older text.
        guard sequences[names[index]] === decision.sequence else { continue }
        outputs += advance(owner, names[index], verdicts[index])
      } else {
        outputs.append(report(decision, names[index], verdicts[index]))
      }
    }
    return outputs
  }

  /// Lets a further sample go on behind its first token; returns its name.
  private func fork(_ decision: Decision, _ verdict: Verdict) -> UInt64 {
    decision.sequence.table = decision.sequence.owner.takeTable()
    let name = keep(decision.sequence)
    if verdict.finish == nil, verdict.failure == nil {
      fork(decision.work.sequence, into: name, tokens: decision.position)
      for token in verdict.tokens { scheduler.append(token.token, to: name) }
    }
    return name
  }

  /// Lets a copy of a sequence's first tokens, all unless told, go on by itself.
  func fork(_ parent: UInt64, into name: UInt64, tokens: Int = .max) {
    if let copy = scheduler.fork(parent, into: name, tokens: tokens) { cache.copy(copy) }
  }

  private func report(
    _ decision: Decision, _ name: UInt64, _ verdict: Verdict
  ) -> SequenceOutput {
    let sequence = decision.sequence
    var output = SequenceOutput(
      sequence: sequence.request.sequence, output: sequence.output,
      firstIndex: sequence.outputCount - verdict.tokens.count, tokens: verdict.tokens,
      finish: verdict.finish, trailingText: verdict.trailingText, failure: verdict.failure,
      cachedPromptTokens: scheduler.cachedPromptTokens(of: decision.work.sequence),
      draftedTokens: decision.drafts.count,
      acceptedTokens: max(verdict.tokens.count - 1, 0))
    if output.finish != nil { drop(name) }
    end(&output, of: sequence.owner)
    return output
  }

  private func count(
    _ works: [Scheduler.Work], _ outputs: [SequenceOutput], seconds: Double
  ) {
    let prefill = works.filter(\.isPrefill).reduce(0) { $0 + $1.count }
    let decode = works.reduce(0) { $0 + $1.count } - prefill
    pacer?.record(prefill: prefill, decode: decode, seconds: seconds)
    counters.steps += 1
    counters.prefillTokens += prefill
    counters.decodeTokens += decode
    counters.outputTokens += outputs.reduce(0) { $0 + $1.tokens.count }
    if prefill > 0 {
      counters.prefillSeconds += seconds
    } else {
      counters.decodeSeconds += seconds
    }
  }
}
