/// Why a tokenizer could not be built.
public struct TokenizerError: Error, Sendable, Equatable, CustomStringConvertible {
  /// The kind of failure: what a program decides on, where ``message`` is for people.
  public enum Code: String, Sendable {
    /// The vocabulary is of a kind that is not known here.
    case unsupportedModel = "unsupported_model"
    /// The vocabulary has no pieces.
    case emptyVocabulary = "empty_vocabulary"
    /// Pieces, scores and types are not equally many.
    case lengthMismatch = "length_mismatch"
    /// A special token's id is not one of the vocabulary's.
    case tokenOutOfRange = "token_out_of_range"
    /// A score is not a number, or a type id is unknown.
    case invalidValue = "invalid_value"
  }

  /// The kind of failure.
  public let code: Code
  /// What happened and what to do about it.
  public let message: String
  /// The token concerned, where it is one.
  public let token: TokenID?

  /// Makes an error; the message should name the remedy.
  public init(code: Code, message: String, token: TokenID? = nil) {
    self.code = code
    self.message = message
    self.token = token
  }

  public var description: String { "\(message) [\(code.rawValue)]" }
}
