import Tokenizers

extension LanguageModel {
  /// The most bytes of a text that one token can stand for. A character that is no piece may become
  /// one token too, the unknown one.
  public var longestTokenBytes: Int {
    let longestCharacter = 4
    return (0..<Int32(clamping: vocabularySize)).reduce(longestCharacter) { longest, token in
      max(longest, tokenizer.token(token).utf8.count)
    }
  }
}
