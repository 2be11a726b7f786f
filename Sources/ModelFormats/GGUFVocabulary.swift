/// The vocabulary of a GGUF file, as it stands under `tokenizer.`: what a tokenizer is built from.
///
/// Only types are checked here; whether the parts agree is the tokenizer's to check.
public struct GGUFVocabulary: Sendable, Equatable {
  /// The tokenizer's kind (`tokenizer.ggml.model`): `llama` is SentencePiece, `gpt2` byte-level
  /// BPE.
  public let model: String
  /// How text is split before merging (`tokenizer.ggml.pre`), where stated.
  public let preTokenizer: String?
  /// The raw pieces, by token id.
  public let pieces: [String]
  /// The pieces' scores; empty where the file has none.
  public let scores: [Float]
  /// The pieces' types in ggml's numbers (1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused,
  /// 6 byte); empty where the file has none.
  public let types: [Int32]
  /// Merge rules of byte-level BPE; empty where the file has none.
  public let merges: [String]
  /// Begin of text.
  public let beginOfText: Int32?
  /// End of text.
  public let endOfText: Int32?
  /// End of turn.
  public let endOfTurn: Int32?
  /// The piece for what no piece covers.
  public let unknown: Int32?
  /// Whether a text gets begin-of-text in front, where stated.
  public let addsBeginOfText: Bool?
  /// Whether a text gets a space in front, where stated.
  public let addsSpacePrefix: Bool?
  /// The source of the chat template (Jinja), where there is one.
  public let chatTemplate: String?

  /// Reads the keys under `tokenizer.`; throws naming the one that is missing or of a wrong type.
  public init(_ metadata: GGUFMetadata) throws(ModelFormatError) {
    let root = "tokenizer.ggml."
    model = try metadata.string(root + "model")
    preTokenizer = try metadata.optional(root + "pre")
    pieces = try metadata.strings(root + "tokens")
    scores = try metadata.optional(root + "scores") ?? []
    types = try metadata.optional(root + "token_type") ?? []
    merges = try metadata.optional(root + "merges") ?? []
    beginOfText = try metadata.optional(root + "bos_token_id")
    endOfText = try metadata.optional(root + "eos_token_id")
    endOfTurn = try metadata.optional(root + "eot_token_id")
    unknown = try metadata.optional(root + "unknown_token_id")
    addsBeginOfText = try metadata.optional(root + "add_bos_token")
    addsSpacePrefix = try metadata.optional(root + "add_space_prefix")
    chatTemplate = try metadata.optional("tokenizer.chat_template")
  }
}
