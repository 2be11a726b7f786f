import Tensors

extension Engine {
  /// Computes one step: a token for every running sequence that is past its prompt, and as much of
  /// the prompts of the others as budget and cache allow.
  ///
  /// Returns what came out, for the sequences for which something did. A sequence that ends or
  /// fails has left the engine. What goes wrong with one sequence is in its output; only what
  /// concerns all of them is thrown.
  /// - Parameter besideOthers: whether sequences of other engines wait for their next tokens while
  ///   this step is computed, which is then kept short for them too.
  public func step(besideOthers: Bool = false) throws(InferenceError) -> [SequenceOutput] {
    var outputs = reportComplete()
    let works = scheduler.schedule(pace: pacer?.tokens, besideOthers: besideOthers)
    guard !works.isEmpty else { return outputs }
    let clock = ContinuousClock()
    let start = clock.now
    var rows: [Int] = []
    batch.removeAll()
    for work in works {
      guard let sequence = sequences[work.sequence] else { continue }
      sequence.table.set(scheduler.blocks(of: work.sequence))
      batch.append(
        scheduler.tokens(of: work.sequence)[work.start..<work.start + work.count],
        start: work.start, table: sequence.table.base)
      if work.isLast { rows.append(batch.count - 1) }
    }
    pass.run(batch)
    pass.computeLogits(rows: rows)
    let last = works.filter(\.isLast)
    let choices = sample(last)
    for work in works where !work.isLast { scheduler.postprocess(work, token: nil) }
    for (work, choice) in zip(last, choices) {
      scheduler.postprocess(work, token: choice?.token)
      if let output = postprocess(work, choice) { outputs.append(output) }
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

  /// Chooses a token for each row of logits, on all threads; nil where the logits are not finite.
  private func sample(_ works: [Scheduler.Work]) -> [TokenSampler.Choice?] {
    let running = works.map { sequences[$0.sequence] }
    return [TokenSampler.Choice?](unsafeUninitializedCapacity: works.count) { buffer, count in
      buffer.initialize(repeating: nil)
      pass.pool.run(count: works.count) { thread, range in
        for index in range {
          guard let sequence = running[index] else { continue }
          let options = sequence.request.options
          let position = works[index].start + works[index].count
          buffer[index] = sampler.choose(
            logits: pass.logits(at: index), options: options, history: sequence.history,
            random: Philox.uniform(seed: options.seed, position: position),
            scratch: samplerScratch.base + thread * sampler.vocabulary)
        }
      }
      count = works.count
    }
  }

  private func postprocess(
    _ work: Scheduler.Work, _ choice: TokenSampler.Choice?
  ) -> SequenceOutput? {
    guard let sequence = sequences[work.sequence] else { return nil }
    let index = sequence.outputCount
    let cached = scheduler.cachedPromptTokens(of: work.sequence)
    guard let choice else {
      remove(work.sequence)
      return SequenceOutput(
        sequence: work.sequence, firstIndex: index,
        failure: InferenceError(
          code: .notFinite,
          message: "The model computed logits that are not finite; its weights are likely damaged.",
          context: ["position": String(work.start + work.count)]))
    }
    let (token, finish) = sequence.append(choice)
    if finish != nil { remove(work.sequence) }
    return SequenceOutput(
      sequence: work.sequence, firstIndex: index, tokens: [token], finish: finish,
      cachedPromptTokens: cached)
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
