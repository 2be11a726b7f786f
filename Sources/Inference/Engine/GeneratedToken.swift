/// One token of output, with the text that it made certain.
public struct GeneratedToken: Sendable, Hashable {
  /// The token's id.
  public var token: Int32
  /// Text that can be shown now that this token is known. Empty while bytes of a character, or what
  /// may become a stop string, are held back; the last token of an output carries what was held.
  public var text: String
  /// The natural logarithm of the token's probability under the unmodified logits, if asked for.
  public var logprob: Float?
  /// The most likely tokens at this place under the unmodified logits, likeliest first.
  public var topLogprobs: [TokenLogprob]

  /// Makes a token.
  public init(
    token: Int32, text: String, logprob: Float? = nil, topLogprobs: [TokenLogprob] = []
  ) {
    self.token = token
    self.text = text
    self.logprob = logprob
    self.topLogprobs = topLogprobs
  }
}

/// A token and the natural logarithm of its probability.
public struct TokenLogprob: Sendable, Hashable {
  /// The token's id.
  public var token: Int32
  /// The natural logarithm of its probability.
  public var logprob: Float

  /// Pairs a token with its log-probability.
  public init(token: Int32, logprob: Float) {
    self.token = token
    self.logprob = logprob
  }
}
