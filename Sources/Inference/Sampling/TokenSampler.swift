package import Tensors

/// Chooses the next token: a pure function of a row of logits, options, history and a random
/// number.
///
/// The order of work is told at ``SamplingOptions``.
package struct TokenSampler {
  /// What was chosen, with the log-probabilities asked for.
  package struct Choice: Hashable {
    package var token: Int32
    package var logprob: Float?
    package var topLogprobs: [TokenLogprob] = []
  }

  /// The kernels to use.
  let compute: Compute
  /// Tokens in the vocabulary.
  let vocabulary: Int

  /// A sampler for one vocabulary.
  package init(compute: Compute, vocabulary: Int) {
    self.compute = compute
    self.vocabulary = vocabulary
  }

  /// Chooses, or returns nil where a logit is not finite.
  ///
  /// `scratch` holds a row and is overwritten; `random` is uniform in 0 ..< 1. Also nil where
  /// the rules allow no token.
  package func choose(
    logits: UnsafePointer<Float>, options: SamplingOptions, history: TokenHistory, random: Double,
    rules: TokenRules = TokenRules(), scratch: UnsafeMutablePointer<Float>
  ) -> Choice? {
    guard let likeliest = compute.argmax(logits, count: vocabulary) else { return nil }
    var token = Int32(likeliest)
    if options.changesLogits || options.temperature > 0 || !rules.isOpen {
      scratch.update(from: logits, count: vocabulary)
      adjust(scratch, options, history)
      rules.apply(scratch, vocabulary: vocabulary)
      guard let best = compute.argmax(scratch, count: vocabulary) else { return nil }
      token = Int32(best)
      if options.temperature > 0 {
        token = draw(scratch, best: scratch[best], options, random: random)
      }
      guard rules.allows(token) else { return nil }
    }
    guard let unmodified = logprobs(logits, likeliest: likeliest, options) else {
      return Choice(token: token)
    }
    return Choice(
      token: token, logprob: unmodified.logprob(token), topLogprobs: unmodified.top)
  }

  /// Log-probabilities under a row of unmodified logits, if options ask for any.
  struct UnmodifiedLogprobs {
    fileprivate let logits: UnsafePointer<Float>
    fileprivate let largest: Float
    fileprivate let logSum: Double
    /// The most likely tokens.
    fileprivate(set) var top: [TokenLogprob] = []

    /// The natural logarithm of a token's probability.
    func logprob(_ token: Int32) -> Float {
      Float(Double(logits[Int(token)]) - Double(largest) - logSum)
    }
  }

  func logprobs(
    _ logits: UnsafePointer<Float>, likeliest: Int, _ options: SamplingOptions
  ) -> UnmodifiedLogprobs? {
    guard let top = options.logprobs else { return nil }
    let largest = logits[likeliest]
    var found = UnmodifiedLogprobs(
      logits: logits, largest: largest,
      logSum: Compute.log(compute.sumExp(logits, count: vocabulary, shift: largest)))
    let row = UnsafeBufferPointer(start: logits, count: vocabulary)
    found.top = TopSelection.largest(top, of: row).map { candidate in
      TokenLogprob(token: candidate.token, logprob: found.logprob(candidate.token))
    }
    return found
  }

  /// Bias, then penalties.
  func adjust(
    _ row: UnsafeMutablePointer<Float>, _ options: SamplingOptions, _ history: TokenHistory
  ) {
    for (token, bias) in options.logitBias { row[Int(token)] += bias }
    if options.repetitionPenalty != 1 {
      for token in history.seen {
        let logit = row[Int(token)]
        row[Int(token)] =
          logit > 0 ? logit / options.repetitionPenalty : logit * options.repetitionPenalty
      }
    }
    if options.presencePenalty != 0 || options.frequencyPenalty != 0 {
      for (token, count) in history.outputCounts {
        row[Int(token)] -= options.presencePenalty + options.frequencyPenalty * Float(count)
      }
    }
  }

  /// Truncates, applies the temperature and draws.
  private func draw(
    _ row: UnsafeMutablePointer<Float>, best: Float, _ options: SamplingOptions, random: Double
  ) -> Int32 {
    let logits = UnsafeMutableBufferPointer(start: row, count: vocabulary)
    let cut = options.minP > 0 ? best + Float(Compute.log(Double(options.minP))) : -Float.infinity
    guard options.topK > 0 && options.topK < vocabulary || options.typicalP < 1 || options.topP < 1
    else {
      for index in logits.indices where logits[index] < cut { logits[index] = -.infinity }
      return draw(logits, best: best, temperature: options.temperature, random: random) ?? 0
    }
    let kept = truncate(UnsafeBufferPointer(logits), best: best, options)
      .filter { $0.logit >= cut }
      .sorted { $0.token < $1.token }
    for (index, candidate) in kept.enumerated() { row[index] = candidate.logit }
    let few = UnsafeMutableBufferPointer(start: row, count: kept.count)
    let place = draw(few, best: best, temperature: options.temperature, random: random)
    return kept[Int(place ?? 0)].token
  }

  /// Top-k, typical, then top-p: the tokens left, likeliest first; never none.
  private func truncate(
    _ logits: UnsafeBufferPointer<Float>, best: Float, _ options: SamplingOptions
  ) -> [TopSelection.Candidate] {
    let limit = options.topK > 0 ? min(options.topK, logits.count) : logits.count
    if options.typicalP < 1 {
      let candidates = limit < logits.count ? TopSelection.largest(limit, of: logits) : all(logits)
      let kept = typical(candidates, best: best, mass: options.typicalP)
        .sorted(by: TopSelection.Candidate.precedes)
      let weights = weights(of: kept, best: best)
      return prefix(of: kept, weights, mass: Double(options.topP) * weights.reduce(0, +)) ?? kept
    }
    guard options.topP < 1, let base = logits.baseAddress else {
      return TopSelection.largest(limit, of: logits)
    }
    var total = compute.sumExp(base, count: logits.count, shift: best)
    if limit < logits.count {
      let candidates = TopSelection.largest(limit, of: logits)
      total = weights(of: candidates, best: best).reduce(0, +)
    }
    // Few tokens make up most of the mass nearly always: look at more only where they do not.
    var count = min(64, limit)
    while true {
      let candidates = TopSelection.largest(count, of: logits)
      let weights = weights(of: candidates, best: best)
      if let kept = prefix(of: candidates, weights, mass: Double(options.topP) * total) {
        return kept
      }
      if count == limit { return candidates }
      count = min(count * 8, limit)
    }
  }

  /// The fewest of the first candidates with at least so much of the weight; `nil` where all have
  /// less.
  private func prefix(
    of candidates: [TopSelection.Candidate], _ weights: [Double], mass: Double
  ) -> [TopSelection.Candidate]? {
    var sum = 0.0
    for (index, weight) in weights.enumerated() {
      sum += weight
      if sum >= mass { return Array(candidates.prefix(index + 1)) }
    }
    return nil
  }

  private func all(_ logits: UnsafeBufferPointer<Float>) -> [TopSelection.Candidate] {
    logits.enumerated().map { TopSelection.Candidate(token: Int32($0), logit: $1) }
  }

  /// The fewest candidates with at least so large a part of the weight whose information is nearest
  /// to the expected one, the entropy. Both hold the logarithm of the sum of all weights, so that the
  /// distance is that of a logit to the mean of the logits.
  private func typical(
    _ candidates: [TopSelection.Candidate], best: Float, mass: Float
  ) -> [TopSelection.Candidate] {
    let weights = weights(of: candidates, best: best)
    var total = 0.0
    var sum = 0.0
    for (candidate, weight) in zip(candidates, weights) where weight > 0 {
      total += weight
      sum += weight * Double(candidate.logit - best)
    }
    let mean = sum / total
    let nearness = candidates.map { -Float(abs(Double($0.logit - best) - mean)) }
    var count = min(64, candidates.count)
    while true {
      let places = nearness.withUnsafeBufferPointer { TopSelection.largest(count, of: $0) }
        .map { Int($0.token) }
      let kept = prefix(
        of: places.map { candidates[$0] }, places.map { weights[$0] }, mass: Double(mass) * total)
      if let kept { return kept }
      if count == candidates.count { return candidates }
      count = min(count * 8, candidates.count)
    }
  }

  private func weights(of candidates: [TopSelection.Candidate], best: Float) -> [Double] {
    var shifted = candidates.map { $0.logit - best }
    shifted.withUnsafeMutableBufferPointer { buffer in
      guard let base = buffer.baseAddress else { return }
      compute.exp(base, count: buffer.count, out: base)
    }
    return shifted.map(Double.init)
  }

  /// An index drawn with weights exp((logit - best) / temperature), walking upwards.
  private func draw(
    _ logits: UnsafeMutableBufferPointer<Float>, best: Float, temperature: Float, random: Double
  ) -> Int32? {
    guard let base = logits.baseAddress else { return nil }
    for index in logits.indices { base[index] = (base[index] - best) / temperature }
    compute.exp(base, count: logits.count, out: base)
    var total = 0.0
    for index in logits.indices { total += Double(base[index]) }
    let target = random * total
    var sum = 0.0
    var last: Int32?
    for index in logits.indices where base[index] > 0 {
      sum += Double(base[index])
      last = Int32(index)
      if sum > target { return last }
    }
    return last
  }
}
