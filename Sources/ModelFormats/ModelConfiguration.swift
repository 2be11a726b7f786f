/// The numbers that define a decoder's shape, read from a model file and checked.
///
/// Every number is inside a range in which products of a few of them cannot overflow, so that code
/// that sizes buffers by them need not check again.
public struct ModelConfiguration: Sendable, Hashable {
  /// The family of the model.
  public let architecture: ModelArchitecture
  /// Tokens that the model was trained to look back on.
  public let contextLength: Int
  /// Decoder layers.
  public let layers: Int
  /// Elements of a token's hidden state.
  public let width: Int
  /// Elements of the hidden layer of the feed-forward block.
  public let feedForwardLength: Int
  /// Query heads.
  public let attentionHeads: Int
  /// Key and value heads; divides ``attentionHeads`` (grouped-query attention).
  public let keyValueHeads: Int
  /// Elements of a head, of keys and of values alike.
  public let headDimension: Int
  /// How many elements of a head are rotated by RoPE; even, at most ``headDimension``.
  public let ropeDimension: Int
  /// The base of the rotation's frequencies (theta).
  public let ropeBase: Float
  /// How long contexts are squeezed into the trained one; nil for not at all.
  public let ropeScaling: RopeScaling?
  /// What is added to the mean square in RMSNorm.
  public let rmsEpsilon: Float
  /// Tokens in the vocabulary: rows of the embedding.
  public let vocabularySize: Int
  /// Whether the output layer is the token embedding (the file has no `output.weight`).
  public let hasTiedOutput: Bool

  /// Query heads that share one key and value head.
  public var queriesPerKeyValueHead: Int { attentionHeads / keyValueHeads }
}
