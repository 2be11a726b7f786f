/// The tokens that may come next.
public final class TokenMask: Sendable {
  /// A bit for each token of the vocabulary, the lowest first.
  public let words: [UInt64]
  /// How many tokens are in it.
  public let count: Int
  /// Whether the text may end here.
  public let mayEnd: Bool

  init(words: [UInt64], mayEnd: Bool) {
    self.words = words
    self.mayEnd = mayEnd
    count = words.reduce(0) { $0 + $1.nonzeroBitCount }
  }

  /// One token, behind which the text goes on.
  public convenience init(only token: Int32, vocabularySize: Int) {
    var words = [UInt64](repeating: 0, count: (vocabularySize + 63) / 64)
    words[Int(token) / 64] = 1 << UInt64(token % 64)
    self.init(words: words, mayEnd: false)
  }

  /// Whether a token is in it.
  public func contains(_ token: Int32) -> Bool {
    words[Int(token) / 64] >> UInt64(token % 64) & 1 == 1
  }
}
