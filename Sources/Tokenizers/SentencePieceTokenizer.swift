/// Byte-pair encoding as SentencePiece does it: merges driven by scores, spaces written as `▁`.
///
/// Text is cut into characters; then, again and again, the two neighbours whose joined text is the
/// piece with the highest score become one (the leftmost of equals), until no two neighbours are a
/// piece. What is no piece in the end is spelled in byte tokens `<0x00>` to `<0xFF>`, or as
/// unknown. With a queue of candidates this takes O(n log n).
///
/// It follows llama.cpp's tokenizer of the kind `llama`, with one deliberate difference: text never
/// becomes a control, unknown or byte token by merging, as in SentencePiece itself.
/// Source: Kudo and Richardson, "SentencePiece" (arXiv:1808.06226).
public struct SentencePieceTokenizer: Tokenizer {
  public let beginOfText: TokenID?
  public let addsBeginOfText: Bool
  public let endOfGeneration: Set<TokenID>
  /// Whether a text, and text after a special token, gets a space in front.
  public let addsSpacePrefix: Bool

  let pieces: [String]
  let types: [PieceType]
  let scores: [Float]
  /// Pieces that merging may make.
  let mergeable: PieceTable
  /// The token of each byte, where there is one.
  let byteTokens: [TokenID?]
  let unknown: TokenID?
  /// Found whole in any text.
  let userDefined: SpecialPieces
  /// Found whole in templates only: control and unknown pieces, with the user-defined ones, as one
  /// set, because the longest of all comes first.
  let special: SpecialPieces
  /// The bytes of all tokens one after the other, and where each one's begin.
  private let spelled: [UInt8]
  private let starts: [Int]

  /// Builds the tokenizer of a vocabulary.
  ///
  /// Begin-of-text, end-of-text and unknown default to tokens 1, 2 and 0 where those are of the
  /// right type; begin-of-text and the space prefix are added unless the description says
  /// otherwise.
  /// Throws ``TokenizerError`` for an empty vocabulary, lengths that differ, ids out of range,
  /// scores that are not numbers, unknown types, and a vocabulary that cannot spell every byte.
  public init(_ description: TokenizerDescription) throws(TokenizerError) {
    let checked = try CheckedVocabulary(description)
    pieces = description.pieces
    scores = description.scores
    types = checked.types
    beginOfText = checked.beginOfText
    unknown = checked.unknown
    endOfGeneration = checked.endOfGeneration
    addsBeginOfText = (description.addsBeginOfText ?? true) && checked.beginOfText != nil
    addsSpacePrefix = description.addsSpacePrefix ?? true
    let byID = zip(checked.types, description.pieces).enumerated().map { index, piece in
      (id: TokenID(index), type: piece.0, text: piece.1)
    }
    mergeable = PieceTable(
      byID.filter { [.normal, .userDefined, .unused].contains($0.type) }.map { ($0.id, $0.text) })
    userDefined = SpecialPieces(
      byID.filter { $0.type == .userDefined }.map { ($0.id, $0.text) })
    special = SpecialPieces(
      byID.filter { [.userDefined, .control, .unknown].contains($0.type) }
        .map { ($0.id, $0.text) })
    byteTokens = try checked.byteTokens(mergeable)
    var spelled: [UInt8] = []
    var starts = [0]
    for piece in byID {
      spelled += Self.bytes(of: piece.text, piece.type)
      starts.append(spelled.count)
    }
    (self.spelled, self.starts) = (spelled, starts)
  }

  public var vocabularySize: Int { pieces.count }

  public func isControl(_ token: TokenID) -> Bool {
    pieces.indices.contains(Int(token)) && types[Int(token)] == .control
  }

  public func token(_ id: TokenID) -> String {
    pieces.indices.contains(Int(id)) ? pieces[Int(id)] : ""
  }

  public func bytes(of token: TokenID) -> ArraySlice<UInt8> {
    guard pieces.indices.contains(Int(token)) else { return [] }
    return spelled[starts[Int(token)]..<starts[Int(token) + 1]]
  }

  private static func bytes(of piece: String, _ type: PieceType) -> [UInt8] {
    switch type {
    case .control, .unknown: []
    case .userDefined: Array(piece.utf8)
    case .byte: CheckedVocabulary.byte(of: piece).map { [$0] } ?? []
    case .normal, .unused: unescaped(piece)
    }
  }

  /// The piece's bytes with each `▁` as a space.
  private static func unescaped(_ piece: String) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(piece.utf8.count)
    for scalar in piece.unicodeScalars {
      if scalar == "\u{2581}" {
        bytes.append(UInt8(ascii: " "))
      } else {
        bytes.append(contentsOf: UTF8.encode(scalar) ?? UTF8.encodedReplacementCharacter)
      }
    }
    return bytes
  }
}
