import Grammars
import Tensors

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
    // Where nothing was drafted for long, it is tried again some time.
    if drafts.allSatisfy(\.isEmpty) { speculationRecord.acceptance.fade() }
    pass.run(batch)
    pass.computeLogits(rows: rows)
    let last = works.indices.filter { works[$0].isLast }
    let verdicts = verify(last.map { works[$0] }, last.map { drafts[$0] })
    if !works.contains(where: \.isPrefill) {
      speculationRecord.cost.record(
        tokens: batch.count, seconds: (clock.now - verifying) / .seconds(1))
    }
    for work in works where !work.isLast { scheduler.postprocess(work) }
    for (index, verdict) in zip(last, verdicts) {
      let source = plan.source(works[index].sequence)
      outputs.append(postprocess(works[index], drafted: drafts[index].count, from: source, verdict))
    }
    count(works, outputs, seconds: (clock.now - start) / .seconds(1))
    return outputs
  }

  /// Whether a sequence is past its prompt and waits for its next token.
  public var isDecoding: Bool { scheduler.isDecoding }

  private func reportComplete() -> [SequenceOutput] {
    let outputs = complete.compactMap { id -> SequenceOutput? in
      guard let sequence = sequences[id], let end = sequence.finishIfComplete() else { return nil }
      return SequenceOutput(
        sequence: id, firstIndex: sequence.outputCount, finish: end.finish, trailingText: end.text)
    }
    for id in complete { remove(id) }
    return outputs
  }

  /// Puts the tokens of all works into the batch, drafted ones behind the last known; returns the
  /// rows whose logits choose tokens.
  private func collect(_ works: [Scheduler.Work], _ drafts: [[Int32]]) -> [Int] {
    var rows: [Int] = []
    batch.removeAll()
    for (work, drafted) in zip(works, drafts) {
      guard let sequence = sequences[work.sequence] else { continue }
      let known = scheduler.tokens(of: work.sequence)[work.start..<work.start + work.count]
      batch.append(
        drafted.isEmpty ? known : known + drafted, start: work.start, table: sequence.table.base)
      if work.isLast { rows += batch.count - 1 - drafted.count..<batch.count }
    }
    return rows
  }

  /// What became of a sequence in a step.
  private struct Verdict {
    var tokens: [GeneratedToken] = []
    var finish: FinishReason?
    /// Why the next token cannot be chosen, if that is so.
    var failure: InferenceError?
    /// Text released by an end without a token.
    var trailingText = ""
    var maskedChoices = 0
    var maskSeconds = 0.0
  }

  /// Chooses tokens from the rows of logits, on all threads: of each work the next one, and as long
  /// as that was the drafted one, the one after it.
  private func verify(_ works: [Scheduler.Work], _ drafts: [[Int32]]) -> [Verdict] {
    let running = works.map { sequences[$0.sequence] }
    var firstRows = [0]
    for drafted in drafts { firstRows.append((firstRows.last ?? 0) + 1 + drafted.count) }
    return [Verdict](unsafeUninitializedCapacity: works.count) { buffer, count in
      buffer.initialize(repeating: Verdict())
      pass.pool.run(count: works.count) { thread, range in
        for index in range {
          guard let sequence = running[index] else { continue }
          buffer[index] = verify(
            sequence, drafts[index], firstRow: firstRows[index],
            position: works[index].start + works[index].count,
            scratch: samplerScratch.base + thread * sampler.vocabulary)
        }
      }
      count = works.count
    }
  }

  private func verify(
    _ sequence: RunningSequence, _ drafts: [Int32], firstRow: Int, position: Int,
    scratch: UnsafeMutablePointer<Float>
  ) -> Verdict {
    var verdict = Verdict()
    let options = sequence.request.options
    for index in 0...drafts.count {
      let start = sequence.isConstrained ? ContinuousClock.now : nil
      let rules = sequence.rules()
      if let start {
        verdict.maskedChoices += 1
        verdict.maskSeconds += start.duration(to: .now) / .seconds(1)
      }
      let choice = sampler.choose(
        logits: pass.logits(at: firstRow + index), options: options, history: sequence.history,
        random: Philox.uniform(seed: options.seed, position: position + index),
        rules: rules, scratch: scratch)
      guard let choice else {
        // After accepted tokens, these are told of first: the next step comes to the same.
        if verdict.tokens.isEmpty { conclude(sequence, rules, position: position, &verdict) }
        break
      }
      let (token, finish) = sequence.append(choice)
      verdict.tokens.append(token)
      verdict.finish = finish
      if finish != nil || index == drafts.count || drafts[index] != choice.token { break }
    }
    return verdict
  }

  /// Ends a sequence of which no token can be chosen.
  private func conclude(
    _ sequence: RunningSequence, _ rules: TokenRules, position: Int, _ verdict: inout Verdict
  ) {
    let context = ["position": String(position)]
    if let mask = rules.mask, mask.count == 0 {
      guard !mask.mayEnd else {
        verdict.finish = .stop
        verdict.trailingText = sequence.finishText()
        return
      }
      verdict.failure = InferenceError(
        code: .requestInvalid,
        message: "No token of the vocabulary continues the text as its grammar wants it.",
        context: context)
    } else {
      verdict.failure = InferenceError(
        code: .notFinite,
        message: "The model computed logits that are not finite; its weights are likely damaged.",
        context: context)
    }
  }

  private func postprocess(
    _ work: Scheduler.Work, drafted: Int, from source: DraftSource, _ verdict: Verdict
  ) -> SequenceOutput {
    let accepted = max(verdict.tokens.count - 1, 0)
    counters.maskedChoices += verdict.maskedChoices
    counters.maskSeconds += verdict.maskSeconds
    settle(work, drafted: drafted, accepted: accepted, source)
    scheduler.postprocess(work, tokens: verdict.tokens.map(\.token))
    var output = SequenceOutput(
      sequence: work.sequence,
      firstIndex: (sequences[work.sequence]?.outputCount ?? 0) - verdict.tokens.count,
      tokens: verdict.tokens, finish: verdict.finish,
      cachedPromptTokens: scheduler.cachedPromptTokens(of: work.sequence),
      draftedTokens: drafted, acceptedTokens: accepted)
    output.failure = verdict.failure
    output.trailingText = verdict.trailingText
    if output.finish != nil || output.failure != nil { remove(work.sequence) }
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
