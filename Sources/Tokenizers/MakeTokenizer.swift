/// Builds the tokenizer that a vocabulary asks for.
///
/// Throws ``TokenizerError``: `unsupportedModel` with the kinds that are known, or what is wrong
/// with the vocabulary.
public func makeTokenizer(
  from description: TokenizerDescription
) throws(TokenizerError) -> any Tokenizer {
  switch description.model {
  case "llama":
    return try SentencePieceTokenizer(description)
  default:
    throw TokenizerError(
      code: .unsupportedModel,
      message: "The tokenizer\(named(description.model)) is not supported; supported: llama "
        + "(SentencePiece byte-pair encoding).")
  }
}

/// The kind in quotes, if it is written as kinds are; files may hold anything there.
private func named(_ kind: String) -> String {
  let letters = Set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_".utf8)
  let isPlain = kind.utf8.count <= 32 && kind.utf8.allSatisfy(letters.contains)
  return isPlain ? " '\(kind)'" : "'s kind is no name of letters and digits, and"
}
