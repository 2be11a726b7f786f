/// What computing costs on a model, attention left out.
public struct ModelCost: Sendable, Hashable {
  /// Bytes of weights that every step that chooses tokens reads once.
  public let stepBytes: Int
  /// Multiplications and additions for each token of a prompt: of the last layer keys and values
  /// only.
  public let tokenMultiplyAdds: Int
  /// Whether these are products of int8.
  public let isInt8: Bool
  /// And for each token whose logits are wanted: the rest of the last layer, and the vocabulary.
  public let logitsMultiplyAdds: Int
}
