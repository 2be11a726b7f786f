/// What one step produced for one output of a request.
public struct SequenceOutput: Sendable, Hashable {
  /// The caller's name for the request.
  public var sequence: UInt64
  /// Which of its outputs, from 0.
  public var output: Int
  /// The output index of `tokens[0]`, counted from the start of the output, resumed tokens
  /// included.
  public var firstIndex: Int
  /// The tokens, in order; may be empty when a resumed sequence turns out to be complete.
  public var tokens: [GeneratedToken]
  /// Why the output ended, if it did.
  public var finish: FinishReason?
  /// Text released by an end that comes without a token; empty unless a resumed sequence was
  /// complete already.
  public var trailingText: String
  /// Why the request failed, if it did.
  public var failure: InferenceError?
  /// Whether it was the last one of the request, which is then no longer in the engine.
  public var isLast: Bool
  /// Tokens of the prompt whose keys and values were found in the prefix cache, so that they were
  /// not computed for this sequence. Known with the first token.
  public var cachedPromptTokens: Int
  /// Tokens that were drafted for the sequence in this step.
  public var draftedTokens: Int
  /// How many of these were accepted: the first of `tokens`.
  public var acceptedTokens: Int

  /// Makes an output.
  public init(
    sequence: UInt64, output: Int = 0, firstIndex: Int, tokens: [GeneratedToken] = [],
    finish: FinishReason? = nil,
    trailingText: String = "", failure: InferenceError? = nil, cachedPromptTokens: Int = 0,
    draftedTokens: Int = 0, acceptedTokens: Int = 0, isLast: Bool = false
  ) {
    self.sequence = sequence
    self.output = output
    self.firstIndex = firstIndex
    self.tokens = tokens
    self.finish = finish
    self.trailingText = trailingText
    self.failure = failure
    self.cachedPromptTokens = cachedPromptTokens
    self.draftedTokens = draftedTokens
    self.acceptedTokens = acceptedTokens
    self.isLast = isLast
  }
}

/// Why an output ended.
public enum FinishReason: String, Sendable, Hashable, CaseIterable {
  /// The model chose an end-of-generation token, which is the last token of the output.
  case stop
  /// A stop string appeared; the text ends before it.
  case stopString = "stop_string"
  /// The maximum number of tokens was reached, or the context is full.
  case length
}
