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
      message: "The tokenizer '\(description.model)' is not supported; supported: llama "
        + "(SentencePiece byte-pair encoding).")
  }
}
