/// How the tokens of an output are searched for.
public enum DecodingStrategy: Sendable, Hashable {
  /// One after the other, each drawn as the options say; with a temperature of 0 the likeliest.
  case sampling
  /// The likeliest text that a search over several beginnings at once finds.
  case beam(BeamSearchOptions)
  /// One after the other, each of the likeliest that is least like what is there already.
  case contrastive(ContrastiveSearchOptions)
}

/// Beam search: of all continuations of the `width` best beginnings, the `width` best go on.
///
/// A beginning is as good as the sum of the log-probabilities of its tokens, under the logits after
/// bias and penalties; tokens that may not come are passed over, and no other becomes likelier for
/// that. A continuation that ends among the `width` best becomes a hypothesis, whose score is its sum
/// divided by its number of tokens to the power of `lengthPenalty`.
///
/// Source: Sutskever, Vinyals, Le, "Sequence to sequence learning with neural networks" (2014); the
/// score as in Wolf et al., "Transformers" (2020).
public struct BeamSearchOptions: Sendable, Hashable {
  /// The most beginnings at a time.
  public static let maximumWidth = 64

  /// Beginnings at a time, 2 to `maximumWidth`.
  public var width: Int
  /// Over 0 favours long texts, below 0 short ones; -10 to 10.
  public var lengthPenalty: Float
  /// Whether the search ends as soon as `width` hypotheses are found. Else it ends when no beginning
  /// can come to a better one than those asked for.
  public var stopsEarly: Bool

  /// Makes options.
  public init(width: Int = 4, lengthPenalty: Float = 1, stopsEarly: Bool = false) {
    self.width = width
    self.lengthPenalty = lengthPenalty
    self.stopsEarly = stopsEarly
  }
}

/// Contrastive search: of the `topK` likeliest tokens the one with the largest
/// (1 - alpha) * probability - alpha * similarity, where the similarity is the largest cosine between
/// the final hidden state of the token and those of all tokens before it.
///
/// Source: Su, Lan, Wang, Yogatama, Kong, Collier, "A contrastive framework for neural text
/// generation" (2022).
public struct ContrastiveSearchOptions: Sendable, Hashable {
  /// The most tokens to choose from.
  public static let maximumTopK = 64

  /// Tokens to choose from, 2 to `maximumTopK`.
  public var topK: Int
  /// How much being like what is there already counts against a token, 0 to 1.
  public var alpha: Float

  /// Makes options.
  public init(topK: Int = 4, alpha: Float = 0.6) {
    self.topK = topK
    self.alpha = alpha
  }
}

extension SamplingOptions {
  /// How many sequences a request with these options takes of what an engine may have in flight. Samples
  /// can do with fewer, one after the other.
  public var places: Int {
    switch strategy {
    case .sampling: outputs
    case .beam(let beam): beam.width
    case .contrastive(let contrastive): contrastive.topK
    }
  }

  /// Whether tokens may be drafted for it.
  var mayDraft: Bool { strategy == .sampling }
}
