/// What computing costs on a model.
public struct ModelCost: Sendable, Hashable {
  /// Bytes of weights that every step that chooses tokens reads once.
  public let stepBytes: Int
  /// Multiplications and additions by weights for each token of a prompt: of the last layer keys and
  /// values only.
  public let tokenMultiplyAdds: Int
  /// Whether these are products of int8.
  public let isInt8: Bool
  /// And for each token whose logits are wanted: the rest of the last layer, and the vocabulary.
  public let logitsMultiplyAdds: Int
  /// Those of attention in one layer, for each key that a token sees.
  public let keyMultiplyAdds: Int
  public let layers: Int

  /// Of a prompt up to its first output token, by weights and in attention, as model FLOPs are counted
  /// (PaLM, arXiv:2204.02311, appendix B), but for what need not be computed: a token sees no later
  /// ones, and the last layer's output is wanted of the last token only.
  public func promptMultiplyAdds(tokens: Int) -> Double {
    let keys = Double(tokens) * Double(tokens + 1) / 2
    let attention = Double(keyMultiplyAdds) * (Double(layers - 1) * keys + Double(tokens))
    return Double(tokenMultiplyAdds) * Double(tokens) + Double(logitsMultiplyAdds) + attention
  }

  /// The same of an output token that sees some keys.
  public func outputMultiplyAdds(keys: Double) -> Double {
    Double(tokenMultiplyAdds + logitsMultiplyAdds) + Double(layers * keyMultiplyAdds) * keys
  }
}
