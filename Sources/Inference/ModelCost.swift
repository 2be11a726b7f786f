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
  /// Those of attention in one layer, for each key that a token sees: its score, and its value.
  public let keyMultiplyAdds: Int
  /// How many layers have attention.
  public let layers: Int
  /// The most keys that a token sees, of a model with a window.
  public let mostKeys: Int?

  /// Of a prompt up to its first output token, by weights and in attention, as model FLOPs are counted
  /// (PaLM, arXiv:2204.02311, appendix B), but for what need not be computed: a token sees no later
  /// ones, and the last layer's output is wanted of the last token only.
  public func promptMultiplyAdds(tokens: Int) -> Int {
    let keys = (layers - 1) * keys(0..<tokens) + keys(tokens - 1..<tokens)
    return tokens * tokenMultiplyAdds + logitsMultiplyAdds + keys * keyMultiplyAdds
  }

  /// The same of tokens at these positions, whose logits are all wanted.
  public func outputMultiplyAdds(positions: Range<Int>) -> Int {
    positions.count * (tokenMultiplyAdds + logitsMultiplyAdds)
      + layers * keys(positions) * keyMultiplyAdds
  }

  /// The keys that the tokens at these positions see, together.
  private func keys(_ positions: Range<Int>) -> Int {
    let growing = positions.clamped(to: 0..<(mostKeys ?? .max))
    let firstAndLast = growing.lowerBound + 1 + growing.upperBound
    return growing.count * firstAndLast / 2 + (positions.count - growing.count) * (mostKeys ?? 0)
  }
}
