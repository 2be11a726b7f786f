extension SamplingOptions {
  /// The most stop strings, and bytes of each.
  public static let maximumStopStrings = 16
  /// The most bytes of a stop string.
  public static let maximumStopStringBytes = 256
  /// The most tokens that end an output.
  public static let maximumStopTokens = 16
  /// The most alternatives whose log-probabilities can be asked for.
  public static let maximumLogprobs = 20
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
      stopTokens.count <= Self.maximumStopTokens
        && stopTokens.allSatisfy { (0..<vocabularySize).contains(Int($0)) },
      "stop_token_ids", "at most \(Self.maximumStopTokens) tokens of the vocabulary")
    try check(
      (0...Self.maximumLogprobs).contains(logprobs ?? 0), "logprobs",
      "0 to \(Self.maximumLogprobs)")
    try check(
      logitBias.count <= Self.maximumLogitBiases
        && logitBias.allSatisfy { token, bias in
          (0..<vocabularySize).contains(Int(token)) && (-1_000...1_000).contains(bias)
        },
      "logit_bias",
      "at most \(Self.maximumLogitBiases) tokens of the vocabulary, each -1000 to 1000")
  }

  private func check(_ holds: Bool, _ field: String, _ rule: String) throws(InferenceError) {
    guard !holds else { return }
    throw InferenceError(
      code: .requestInvalid, message: "\(field) must be \(rule).", context: ["field": field])
  }
}
