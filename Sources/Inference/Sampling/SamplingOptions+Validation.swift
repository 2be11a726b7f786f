extension SamplingOptions {
  /// The most stop strings, and bytes of each.
  public static let maximumStopStrings = 16
  /// The most bytes of a stop string.
  public static let maximumStopStringBytes = 256
  /// The most tokens that end an output.
  public static let maximumStopTokens = 16
  /// The most alternatives whose log-probabilities can be asked for.
  public static let maximumLogprobs = 20
  /// The most outputs of a request.
  public static let maximumOutputs = 64
  /// The most tokens with a bias.
  public static let maximumLogitBiases = 1_024

  /// Whether logits are changed before a choice is made.
  var changesLogits: Bool {
    !logitBias.isEmpty || repetitionPenalty != 1 || presencePenalty != 0 || frequencyPenalty != 0
  }

  /// Checks every field; throws `requestInvalid` with the name of the first bad one under `field`.
  public func validate(vocabularySize: Int) throws(InferenceError) {
    try check(maxTokens >= 1, "max_tokens", "at least 1")
    try check((0...maxTokens).contains(minTokens), "min_tokens", "0 to max_tokens")
    try check(
      minTokens == 0 || constraint == nil, "min_tokens", "left out where the text has a grammar")
    try check(temperature.isFinite && (0...100).contains(temperature), "temperature", "0 to 100")
    try check(topK >= 0, "top_k", "0 (off) or more")
    try check(typicalP > 0 && typicalP <= 1, "typical_p", "above 0, at most 1")
    try check(topP > 0 && topP <= 1, "top_p", "above 0, at most 1")
    try check(minP >= 0 && minP <= 1, "min_p", "0 to 1")
    try check(
      (0.01...100).contains(repetitionPenalty), "repetition_penalty", "0.01 to 100")
    try check((-100...100).contains(presencePenalty), "presence_penalty", "-100 to 100")
    try check((-100...100).contains(frequencyPenalty), "frequency_penalty", "-100 to 100")
    try check(
      stop.count <= Self.maximumStopStrings
        && stop.allSatisfy { (1...Self.maximumStopStringBytes).contains($0.utf8.count) },
      "stop",
      "at most \(Self.maximumStopStrings) strings of 1 to \(Self.maximumStopStringBytes) bytes")
    try check(
      stopTokens.count <= Self.maximumStopTokens, "stop_token_ids",
      "at most \(Self.maximumStopTokens) tokens")
    try checkTokens(stopTokens, "stop_token_ids", vocabularySize)
    try check(
      (0...Self.maximumLogprobs).contains(logprobs ?? 0), "logprobs",
      "0 to \(Self.maximumLogprobs)")
    try check(
      logitBias.count <= Self.maximumLogitBiases, "logit_bias",
      "at most \(Self.maximumLogitBiases) tokens")
    try checkTokens(logitBias.keys, "logit_bias", vocabularySize)
    try check(
      logitBias.values.allSatisfy { (-1_000...1_000).contains($0) }, "logit_bias",
      "-1000 to 1000 for each token")
    try checkStrategy()
  }

  private func checkTokens(
    _ tokens: some Sequence<Int32>, _ field: String, _ vocabularySize: Int
  ) throws(InferenceError) {
    let unknown = tokens.filter { !(0..<vocabularySize).contains(Int($0)) }.min()
    try check(
      unknown == nil, field,
      "of tokens 0 to \(vocabularySize - 1); \(unknown ?? 0) is none of the vocabulary")
  }

  private func checkStrategy() throws(InferenceError) {
    try check((1...Self.maximumOutputs).contains(outputs), "n", "1 to \(Self.maximumOutputs)")
    switch strategy {
    case .sampling:
      try check(
        outputs == 1 || temperature > 0, "n",
        "1 with a temperature of 0, which gives the same text each time")
    case .beam(let beam):
      let widths = 2...BeamSearchOptions.maximumWidth
      try check(
        widths.contains(beam.width), "beam.width", "\(widths.lowerBound) to \(widths.upperBound)")
      try check((-10...10).contains(beam.lengthPenalty), "beam.length_penalty", "-10 to 10")
      try check(outputs <= beam.width, "n", "at most beam.width (\(beam.width))")
    case .contrastive(let contrastive):
      let counts = 2...ContrastiveSearchOptions.maximumTopK
      try check(
        counts.contains(contrastive.topK), "contrastive.top_k",
        "\(counts.lowerBound) to \(counts.upperBound)")
      try check((0...1).contains(contrastive.alpha), "contrastive.alpha", "0 to 1")
      try check(outputs == 1, "n", "1 with contrastive search, which gives one text")
    }
  }

  /// Throws `requestInvalid` where a search takes more sequences than an engine may have in flight.
  public func checkPlaces(most: Int) throws(InferenceError) {
    let field =
      switch strategy {
      case .sampling: nil as String?
      case .beam: "beam.width"
      case .contrastive: "contrastive.top_k"
      }
    guard let field else { return }
    try check(places <= most, field, "at most \(most), the sequences that the engine may have")
  }

  /// Throws `requestInvalid` where a search's sequences can become longer than fits into an engine's
  /// cache together. What they share of the prompt counts once, where it is found again after it was
  /// lost.
  public func checkRoom(
    promptTokens: Int, options: EngineOptions, model: LanguageModel, draft: LanguageModel? = nil
  ) throws(InferenceError) {
    let shares: Bool
    switch strategy {
    case .sampling: return
    case .beam: shares = options.sharesPrefixes(model)
    case .contrastive: shares = false
    }
    let resolved = try options.resolved(for: model, draft: draft)
    let wanted = promptTokens.addingReportingOverflow(maxTokens)
    let tokenLimit = wanted.overflow ? Int.max : wanted.partialValue
    let tokens = min(tokenLimit, resolved.contextLength)
    let blockTokens = options.kvBlockTokens
    let shared = shares ? promptTokens / blockTokens : 0
    let each = options.limits(model).mostBlocks(for: tokens, blockTokens: blockTokens)
    let needed = shared + places * (each - shared + 1)
    guard needed > resolved.cacheBlocks else { return }
    throw InferenceError(
      code: .requestInvalid,
      message: "A search over \(places) sequences of up to \(tokens) tokens needs \(needed) "
        + "blocks of the KV cache, which has \(resolved.cacheBlocks); ask for fewer tokens or a "
        + "narrower search, or give the cache more memory.",
      context: ["field": "max_tokens"])
  }

  private func check(_ holds: Bool, _ field: String, _ rule: String) throws(InferenceError) {
    guard !holds else { return }
    throw InferenceError(
      code: .requestInvalid, message: "\(field) must be \(rule).", context: ["field": field])
  }
}
