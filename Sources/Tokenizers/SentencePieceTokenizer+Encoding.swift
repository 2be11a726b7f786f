extension SentencePieceTokenizer {
  public func encode(_ text: String, parsingSpecialTokens: Bool) -> [TokenID] {
    encode([PromptSegment(text, parsesSpecialTokens: parsingSpecialTokens)])
  }

  /// Special pieces are cut out first; what lies between them is merged. Text that follows a
  /// special piece, or nothing, gets a space in front where the vocabulary asks for it.
  public func encode(_ segments: [PromptSegment]) -> [TokenID] {
    var text: [UInt8] = []
    text.reserveCapacity(segments.reduce(0) { $0 + $1.text.utf8.count })
    var trusted: [Range<Int>] = []
    for segment in segments {
      let start = text.count
      text.append(contentsOf: segment.text.utf8)
      if segment.parsesSpecialTokens { trusted.append(start..<text.count) }
    }
    var tokens: [TokenID] = []
    text.withUnsafeBufferPointer { text in
      var start = 0
      for match in specialPieces(in: text, trusted: trusted) {
        appendText(text[start..<match.range.lowerBound], to: &tokens)
        tokens.append(match.token)
        start = match.range.upperBound
      }
      appendText(text[start...], to: &tokens)
    }
    return tokens
  }

  /// The special pieces from left to right, none over another: all kinds in trusted ranges, then
  /// user-defined ones anywhere.
  private func specialPieces(
    in text: UnsafeBufferPointer<UInt8>, trusted: [Range<Int>]
  ) -> [SpecialPieces.Match] {
    var taken = [Bool](repeating: false, count: text.count)
    var matches: [SpecialPieces.Match] = []
    for range in trusted { special.mark(text, in: range, taken: &taken, matches: &matches) }
    if trusted != [0..<text.count] {
      userDefined.mark(text, in: 0..<text.count, taken: &taken, matches: &matches)
    }
    return matches.sorted { $0.range.lowerBound < $1.range.lowerBound }
  }

  /// The tokens of text between special pieces: escaped, then merged.
  private func appendText(
    _ text: Slice<UnsafeBufferPointer<UInt8>>, to tokens: inout [TokenID]
  ) {
    if text.isEmpty { return }
    let mark = Array("\u{2581}".utf8)
    var escaped: [UInt8] = []
    escaped.reserveCapacity(text.count + text.count / 2 + mark.count)
    if addsSpacePrefix { escaped += mark }
    for byte in text {
      if byte == UInt8(ascii: " ") { escaped += mark } else { escaped.append(byte) }
    }
    escaped.withUnsafeBufferPointer { escaped in
      var merge = PieceMerge(escaped, mergeable, scores)
      merge.run()
      for piece in merge.symbols() { append(escaped[piece], to: &tokens) }
    }
  }

  /// The token of a merged symbol; one that is no piece is spelled in bytes, or is unknown.
  private func append(
    _ piece: Slice<UnsafeBufferPointer<UInt8>>, to tokens: inout [TokenID]
  ) {
    if let token = mergeable.find(piece) {
      tokens.append(token)
      return
    }
    let spelled = piece.compactMap { byteTokens[Int($0)] }
    if spelled.count == piece.count {
      tokens += spelled
    } else if let unknown {
      tokens.append(unknown)
    }
  }
}
