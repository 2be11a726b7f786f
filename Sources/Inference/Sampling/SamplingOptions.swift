/// How the next token is chosen from the logits, and when an output ends.
///
/// The order of work is fixed: `logitBias`; `repetitionPenalty` (over prompt and output);
/// `presencePenalty` and `frequencyPenalty` (over the output); tokens that end the output are taken
/// away while it is shorter than `minTokens`; then, unless `temperature` is 0, `topK`, `typicalP`,
/// `topP`, `minP` (each on what the one before has left, before temperature), `temperature`, and one
/// draw. The choice is a pure function of the logits, these options, the
/// tokens so far and one random number, Philox4x32-10 keyed by `seed` and counted by the token's
/// position and the output's number.
public struct SamplingOptions: Sendable, Hashable {
  /// The most tokens of output, at least 1.
  public var maxTokens: Int
  /// Tokens of output before which none is chosen that would end it; 0 for none. Stop strings end it
  /// all the same.
  public var minTokens: Int
  /// 0 takes the likeliest token (the lowest id among equals); higher is more varied.
  public var temperature: Float
  /// Keep only this many of the likeliest tokens; 0 keeps all.
  public var topK: Int
  /// Keep the fewest tokens whose information is nearest to what is expected of a token here and whose
  /// probabilities sum to at least this; 1 keeps all.
  ///
  /// Source: Meister, Pimentel, Wiher, Cotterell, "Locally typical sampling" (2023).
  public var typicalP: Float
  /// Keep the fewest likeliest tokens whose probabilities sum to at least this; 1 keeps all.
  public var topP: Float
  /// Keep tokens at least this fraction as probable as the likeliest; 0 keeps all.
  public var minP: Float
  /// Divides positive and multiplies negative logits of tokens seen before; 1 does nothing.
  public var repetitionPenalty: Float
  /// Subtracted from the logits of tokens that the output holds; 0 does nothing.
  public var presencePenalty: Float
  /// Subtracted from a token's logit once for each time the output holds it; 0 does nothing.
  public var frequencyPenalty: Float
  /// The key of the random numbers.
  public var seed: UInt64
  /// Strings that end the output where they appear; they are not part of it.
  public var stop: [String]
  /// Tokens that end the output where they are chosen, as the model's own end-of-generation tokens do.
  public var stopTokens: Set<Int32>
  /// `nil` for none, 0 for the chosen token's log-probability, N for the N likeliest as well.
  public var logprobs: Int?
  /// Added to the logits of these tokens, before anything else.
  public var logitBias: [Int32: Float]
  /// What the text must be. Tokens that do not lead there are taken away before the choice, and those
  /// after which `maxTokens` would not suffice to come to its end. The output ends where nothing can
  /// be added.
  public var constraint: OutputConstraint?
  /// How many outputs there are to be: samples that are drawn independently, or the best of a beam
  /// search, which may find fewer.
  public var outputs: Int
  /// How tokens are searched for. Searches leave aside what only drawing needs: `temperature`,
  /// `topK`, `typicalP`, `topP`, `minP` and `seed`.
  public var strategy: DecodingStrategy
  /// Go on past end-of-generation tokens (for measurements).
  public var ignoreEnd: Bool

  /// Makes options; the defaults are greedy, 128 tokens.
  public init(
    maxTokens: Int = 128, minTokens: Int = 0, temperature: Float = 0, topK: Int = 0,
    typicalP: Float = 1, topP: Float = 1, minP: Float = 0, repetitionPenalty: Float = 1,
    presencePenalty: Float = 0, frequencyPenalty: Float = 0, seed: UInt64 = 0,
    stop: [String] = [], stopTokens: Set<Int32> = [], logprobs: Int? = nil,
    logitBias: [Int32: Float] = [:], constraint: OutputConstraint? = nil, outputs: Int = 1,
    strategy: DecodingStrategy = .sampling, ignoreEnd: Bool = false
  ) {
    self.maxTokens = maxTokens
    self.minTokens = minTokens
    self.temperature = temperature
    self.topK = topK
    self.typicalP = typicalP
    self.topP = topP
    self.minP = minP
    self.repetitionPenalty = repetitionPenalty
    self.presencePenalty = presencePenalty
    self.frequencyPenalty = frequencyPenalty
    self.seed = seed
    self.stop = stop
    self.stopTokens = stopTokens
    self.logprobs = logprobs
    self.logitBias = logitBias
    self.constraint = constraint
    self.outputs = outputs
    self.strategy = strategy
    self.ignoreEnd = ignoreEnd
  }
}
