/// A vocabulary as a model file holds it: what ``makeTokenizer(from:)`` builds a tokenizer from.
public struct TokenizerDescription: Sendable {
  /// The tokenizer's kind: `llama` is SentencePiece byte-pair encoding.
  public var model: String
  /// The raw pieces, by token id.
  public var pieces: [String]
  /// The pieces' scores: a merge into the piece with the highest score comes first.
  public var scores: [Float]
  /// The pieces' types, in ggml's numbers (see ``PieceType``); empty for all normal.
  public var types: [Int32]
  /// Begin of text.
  public var beginOfText: TokenID?
  /// End of text.
  public var endOfText: TokenID?
  /// End of turn.
  public var endOfTurn: TokenID?
  /// The piece for what no piece covers.
  public var unknown: TokenID?
  /// Whether a text gets begin-of-text in front; nil for the kind's default.
  public var addsBeginOfText: Bool?
  /// Whether a text gets a space in front; nil for the kind's default.
  public var addsSpacePrefix: Bool?

  /// Describes a vocabulary; see the properties.
  public init(
    model: String, pieces: [String], scores: [Float] = [], types: [Int32] = [],
    beginOfText: TokenID? = nil, endOfText: TokenID? = nil, endOfTurn: TokenID? = nil,
    unknown: TokenID? = nil, addsBeginOfText: Bool? = nil, addsSpacePrefix: Bool? = nil
  ) {
    self.model = model
    self.pieces = pieces
    self.scores = scores
    self.types = types
    self.beginOfText = beginOfText
    self.endOfText = endOfText
    self.endOfTurn = endOfTurn
    self.unknown = unknown
    self.addsBeginOfText = addsBeginOfText
    self.addsSpacePrefix = addsSpacePrefix
  }
}

/// What a piece of a vocabulary is; the raw values are SentencePiece's and ggml's.
public enum PieceType: Int32, Sendable {
  /// Text, with `▁` for a space.
  case normal = 1
  /// Stands for what no piece covers.
  case unknown = 2
  /// Steers the model; stands for no text.
  case control = 3
  /// Text that is found whole before anything is merged.
  case userDefined = 4
  /// In the vocabulary and not used.
  case unused = 5
  /// One byte, written `<0xAB>`.
  case byte = 6
}
