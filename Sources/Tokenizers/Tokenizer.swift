/// A token's number in its vocabulary: 0 to ``Tokenizer/vocabularySize`` - 1.
public typealias TokenID = Int32

/// Turns text into tokens and tokens back into bytes, for one model's vocabulary.
///
/// A token's bytes need not be whole UTF-8 sequences: put them together with
/// ``StreamingDetokenizer``. All members can be called from many threads at once.
public protocol Tokenizer: Sendable {
  /// The number of tokens; every id is below it.
  var vocabularySize: Int { get }
  /// The token that a text begins with, if the vocabulary has one.
  var beginOfText: TokenID? { get }
  /// Whether the model was trained with ``beginOfText`` in front of every text.
  var addsBeginOfText: Bool { get }
  /// The tokens that end a generation: end of text, end of turn.
  var endOfGeneration: Set<TokenID> { get }

  /// The tokens of a text, without ``beginOfText``.
  ///
  /// With `parsingSpecialTokens` the text of a control token, such as `</s>`, becomes that token:
  /// use it for templates, never for text from outside. Without it no control token can come out.
  func encode(_ text: String, parsingSpecialTokens: Bool) -> [TokenID]

  /// The tokens of a prompt put together from trusted and untrusted parts, as if it were one text,
  /// without ``beginOfText``.
  ///
  /// Control tokens are found in the parts that ask for it and nowhere else, so that nobody can
  /// forge a turn of the conversation by writing `<|im_end|>` into a message.
  func encode(_ segments: [PromptSegment]) -> [TokenID]

  /// The bytes that a token stands for, a part of all tokens' that nothing is copied for; none for
  /// control tokens and for ids out of range.
  func bytes(of token: TokenID) -> ArraySlice<UInt8>

  /// Whether the token steers the model and stands for no text.
  func isControl(_ token: TokenID) -> Bool

  /// The token's raw piece as the vocabulary holds it, such as `▁time`; empty for ids out of range.
  func token(_ id: TokenID) -> String
}

extension Tokenizer {
  /// Encodes each part by itself: right for vocabularies in which text may be cut anywhere.
  public func encode(_ segments: [PromptSegment]) -> [TokenID] {
    segments.flatMap { encode($0.text, parsingSpecialTokens: $0.parsesSpecialTokens) }
  }
}
