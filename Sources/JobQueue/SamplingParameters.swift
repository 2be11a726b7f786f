/// How the next token is chosen from the model's logits.
public struct SamplingParameters: Hashable, Codable, Sendable {
  /// The most tokens of an output, at least 1.
  public var maxTokens: Int32
  /// 0 chooses the likeliest token; above 0, logits are divided by it before sampling.
  public var temperature: Float
  /// Keep the smallest set of tokens whose probabilities sum to at least this; 1 keeps all.
  public var topP: Float
  /// Keep this many of the likeliest tokens; 0 keeps all.
  public var topK: Int32
  /// Drop tokens less likely than this share of the likeliest one's probability; 0 drops none.
  public var minP: Float
  /// Divides positive and multiplies negative logits of tokens already present; 1 does nothing.
  public var repetitionPenalty: Float
  /// Subtracted once from the logits of tokens already in the output.
  public var presencePenalty: Float
  /// Subtracted from a token's logit for each time it is in the output.
  public var frequencyPenalty: Float
  /// The seed of the job's random numbers: one number per output position.
  public var seed: UInt64
  /// Generation ends before the first of these strings to appear in the output.
  public var stop: [String]
  /// `nil`: no log-probabilities; 0: of the chosen tokens; n: also of the n likeliest.
  public var logprobs: Int32?
  /// Added to the logits of single tokens.
  public var logitBias: [Int32: Float]
  /// Keep the tokens whose information is nearest to the expected one and whose probabilities sum
  /// to at least this; `nil` keeps all.
  public var typicalP: Float?
  /// Output tokens before which none is chosen that would end the output.
  public var minTokens: Int32?
  /// Tokens that end the output where they are chosen.
  public var stopTokens: [Int32]?
  /// The text must be a document that is valid under this JSON schema.
  public var jsonSchema: String?
  /// The text must be one of this grammar.
  public var grammar: String?
  /// How many outputs there are of the prompt; `nil` for one.
  public var outputs: Int32?
  /// How the sequence of tokens is searched; `nil` chooses one token after the other, as the
  /// parameters above say.
  public var strategy: Strategy?

  /// A search that is more than the choice of the next token.
  public enum Strategy: Hashable, Codable, Sendable {
    /// Keeps the `width` likeliest texts. They are ranked by the sum of their tokens'
    /// log-probabilities, divided by their number to the power of `lengthPenalty`; the search ends
    /// when no other can become one of the best, or, where it stops early, when `width` have ended.
    case beam(width: Int32, lengthPenalty: Float, stopsEarly: Bool)
    /// Of the `topK` likeliest tokens takes one that is likely and unlike those before it; `alpha`
    /// is the weight of the second.
    case contrastive(topK: Int32, alpha: Float)
  }

  public init(
    maxTokens: Int32 = JobLimits.defaultMaxTokens, temperature: Float = 1, topP: Float = 1,
    topK: Int32 = 0, minP: Float = 0, repetitionPenalty: Float = 1, presencePenalty: Float = 0,
    frequencyPenalty: Float = 0, seed: UInt64, stop: [String] = [], logprobs: Int32? = nil,
    logitBias: [Int32: Float] = [:], typicalP: Float? = nil, minTokens: Int32? = nil,
    stopTokens: [Int32]? = nil, jsonSchema: String? = nil, grammar: String? = nil,
    outputs: Int32? = nil, strategy: Strategy? = nil
  ) {
    self.maxTokens = maxTokens
    self.temperature = temperature
    self.topP = topP
    self.topK = topK
    self.minP = minP
    self.repetitionPenalty = repetitionPenalty
    self.presencePenalty = presencePenalty
    self.frequencyPenalty = frequencyPenalty
    self.seed = seed
    self.stop = stop
    self.logprobs = logprobs
    self.logitBias = logitBias
    self.typicalP = typicalP
    self.minTokens = minTokens
    self.stopTokens = stopTokens
    self.jsonSchema = jsonSchema
    self.grammar = grammar
    self.outputs = outputs
    self.strategy = strategy
  }
}
