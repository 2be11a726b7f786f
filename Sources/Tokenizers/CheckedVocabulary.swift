/// A vocabulary's types and special tokens, checked and with defaults filled in.
struct CheckedVocabulary {
  let types: [PieceType]
  let beginOfText: TokenID?
  let unknown: TokenID?
  let endOfGeneration: Set<TokenID>
  private let pieces: [String]

  /// Pieces that end a turn or a text in well-known chat formats, for files that name only one end.
  static let turnEnds: Set<String> = [
    "<|eot_id|>", "<|eom_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<|endoftext|>",
    "<|end_of_text|>", "<EOT>",
  ]

  init(_ description: TokenizerDescription) throws(TokenizerError) {
    let pieces = description.pieces
    self.pieces = pieces
    try Self.checkLengths(description)
    var types = try Self.types(description)
    /// The stated id, whose piece becomes one of that type unless it is a byte; else the default.
    func special(
      _ stated: TokenID?, _ name: String, default id: TokenID, _ type: PieceType
    ) throws(TokenizerError) -> TokenID? {
      guard let stated else {
        return types.indices.contains(Int(id)) && types[Int(id)] == type ? id : nil
      }
      guard types.indices.contains(Int(stated)) else {
        throw TokenizerError(
          code: .tokenOutOfRange,
          message: "The \(name) token is \(stated) and the vocabulary has \(types.count) pieces; "
            + "convert the model again.", token: stated)
      }
      if types[Int(stated)] != .byte { types[Int(stated)] = type }
      return stated
    }
    let unknown = try special(description.unknown, "unknown", default: 0, .unknown)
    beginOfText = try special(description.beginOfText, "begin-of-text", default: 1, .control)
    let endOfText = try special(description.endOfText, "end-of-text", default: 2, .control)
    let endOfTurn = try special(description.endOfTurn, "end-of-turn", default: -1, .control)
    // Text must not become a control token, not even one that is called the unknown one, too.
    self.unknown = unknown.flatMap { types[Int($0)] == .control ? nil : $0 }
    self.types = types
    let named = pieces.indices.filter {
      types[$0] == .control && Self.turnEnds.contains(pieces[$0])
    }
    endOfGeneration = Set([endOfText, endOfTurn].compactMap(\.self) + named.map(TokenID.init))
  }

  /// The token of each byte: the byte piece, else a piece that is this one byte.
  ///
  /// Throws when a byte has neither and there is no unknown token to stand for it.
  func byteTokens(_ table: PieceTable) throws(TokenizerError) -> [TokenID?] {
    var tokens = (0...255).map { byte in
      withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 1) { buffer in
        buffer.initialize(repeating: UInt8(byte))
        return table.find(UnsafeBufferPointer(buffer)[0..<1])
      }
    }
    for (index, type) in types.enumerated() where type == .byte {
      if let byte = Self.byte(of: pieces[index]) { tokens[Int(byte)] = TokenID(index) }
    }
    if unknown == nil, let missing = tokens.firstIndex(of: nil) {
      throw TokenizerError(
        code: .invalidValue,
        message:
          "The vocabulary has no piece for the byte \(missing) and no unknown token; convert "
          + "the model again with its byte pieces.")
    }
    return tokens
  }

  /// The byte that a piece like `<0x0A>` names.
  static func byte(of piece: String) -> UInt8? {
    let text = Array(piece.utf8)
    guard text.count == 6, text.starts(with: Array("<0x".utf8)), text[5] == UInt8(ascii: ">"),
      text[3] != UInt8(ascii: "+")
    else { return nil }
    return UInt8(String(decoding: text[3...4], as: UTF8.self), radix: 16)
  }

  private static func checkLengths(
    _ description: TokenizerDescription
  ) throws(TokenizerError) {
    let count = description.pieces.count
    guard count > 0, count <= Int(Int32.max) / 4 else {
      throw TokenizerError(
        code: .emptyVocabulary,
        message: "The vocabulary has \(count) pieces; use a model file with its vocabulary.")
    }
    guard description.scores.count == count,
      description.types.isEmpty || description.types.count == count
    else {
      throw TokenizerError(
        code: .lengthMismatch,
        message: "The vocabulary has \(count) pieces, \(description.scores.count) scores and "
          + "\(description.types.count) types; convert the model again.")
    }
    if let index = description.scores.firstIndex(where: \.isNaN) {
      throw TokenizerError(
        code: .invalidValue,
        message: "The score of token \(index) is not a number; convert the model again.",
        token: TokenID(index))
    }
  }

  /// The types, where none are stated guessed from the pieces' form; user-defined pieces that are
  /// marks of a conversation's form are made control tokens (see ``SpecialMarks``).
  private static func types(
    _ description: TokenizerDescription
  ) throws(TokenizerError) -> [PieceType] {
    var types: [PieceType] = []
    types.reserveCapacity(description.pieces.count)
    for (index, piece) in description.pieces.enumerated() {
      guard !description.types.isEmpty else {
        let guess = SpecialMarks.contain(piece) ? PieceType.control : .normal
        types.append(byte(of: piece) == nil ? guess : .byte)
        continue
      }
      guard let type = PieceType(rawValue: description.types[index]) else {
        throw TokenizerError(
          code: .invalidValue,
          message: "Token \(index) has the unknown type \(description.types[index]); convert the "
            + "model again.", token: TokenID(index))
      }
      types.append(type == .userDefined && SpecialMarks.contain(piece) ? .control : type)
    }
    return types
  }
}
