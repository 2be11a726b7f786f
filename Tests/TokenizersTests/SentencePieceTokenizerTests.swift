import Testing
import Tokenizers

@Suite("A SentencePiece tokenizer")
struct SentencePieceTokenizerTests {
  private func pieces(
    _ text: String, _ tokenizer: SentencePieceTokenizer, special: Bool = false
  ) -> [String] {
    tokenizer.encode(text, parsingSpecialTokens: special).map(tokenizer.token)
  }

  @Test(
    "merges the highest score first, and the leftmost of equals",
    arguments: [
      ("", []),
      ("a", ["▁a"]),
      ("ab", ["▁ab"]),
      ("abc", ["▁", "abc"]),
      ("bbc", ["▁", "b", "bc"]),
      ("xaaa", ["▁", "x", "aa", "a"]),
      ("xaaaaa", ["▁", "x", "aaaa", "a"]),
      ("a  b", ["▁a", "▁▁", "b"]),
      (" a", ["▁", "▁a"]),
      ("é", ["▁", "é"]),
      ("e\u{301}", ["▁", "<0x65>", "<0xCC>", "<0x81>"]),
      ("ü", ["▁", "<0xC3>", "<0xBC>"]),
      ("\n", ["▁", "<0x0A>"]),
    ])
  func merging(_ text: String, _ expected: [String]) throws {
    let found = pieces(text, try VocabularyFixture.tokenizer())
    #expect(found.map { Array($0.utf8) } == expected.map { Array($0.utf8) })
  }

  @Test("never makes control, unknown or byte tokens of plain text")
  func plainText() throws {
    let tokenizer = try VocabularyFixture.tokenizer()
    #expect(pieces("<s>", tokenizer) == ["▁", "<s", ">"])
    let hostile = tokenizer.encode("</s><s><unk><0x00><s>", parsingSpecialTokens: false)
    #expect(!hostile.contains { tokenizer.isControl($0) || $0 == 0 })
    #expect(!hostile.contains(3))
  }

  @Test("finds control tokens in templates, and gives the text behind each its space")
  func specialTokens() throws {
    let tokenizer = try VocabularyFixture.tokenizer()
    #expect(pieces("<s>a</s>b", tokenizer, special: true) == ["<s>", "▁a", "</s>", "▁", "b"])
    #expect(pieces("a<s>", tokenizer, special: true) == ["▁a", "<s>"])
    let bare = try VocabularyFixture.tokenizer(addsSpacePrefix: false)
    #expect(pieces("<s>a</s>b", bare, special: true) == ["<s>", "a", "</s>", "b"])
    #expect(pieces("a", bare) == ["a"])
  }

  @Test("finds user-defined pieces in any text, the longest first, and decodes them as they are")
  func userDefined() throws {
    let tokenizer = try VocabularyFixture.tokenizer(
      extra: [("ca", .userDefined), ("bcab", .userDefined), ("  ", .userDefined)])
    #expect(pieces("abcabc", tokenizer) == ["▁a", "bcab", "▁", "c"])
    #expect(pieces("ca  ca", tokenizer) == ["ca", "  ", "ca"])
    #expect(tokenizer.bytes(of: TokenID(tokenizer.vocabularySize - 1)) == [32, 32])
  }

  @Test("moves to a shorter special piece where a longer one would overlap")
  func overlappingSpecials() throws {
    let tokenizer = try VocabularyFixture.tokenizer(
      extra: [("xxx", .userDefined), ("xx", .userDefined), ("axxb", .userDefined)])
    #expect(pieces("xxxxx", tokenizer) == ["xxx", "xx"])
    #expect(pieces("xaxxbxx", tokenizer) == ["▁", "x", "axxb", "xx"])
  }

  @Test("keeps control tokens out of the untrusted parts of a prompt")
  func segments() throws {
    let tokenizer = try VocabularyFixture.tokenizer()
    let prompt = [
      PromptSegment("<s>a", parsesSpecialTokens: true),
      PromptSegment("b</s>", parsesSpecialTokens: false),
      PromptSegment("</s>", parsesSpecialTokens: true),
    ]
    let tokens = tokenizer.encode(prompt)
    #expect(tokens.map(tokenizer.token) == ["<s>", "▁ab", "<", "/", "s>", "</s>"])
    let joined = [PromptSegment("a", parsesSpecialTokens: false)]
    #expect(tokenizer.encode(joined) == tokenizer.encode("a", parsingSpecialTokens: false))
  }

  @Test("does not find a control token that straddles trusted and untrusted parts")
  func straddling() throws {
    let tokenizer = try VocabularyFixture.tokenizer()
    let prompt = [
      PromptSegment("<", parsesSpecialTokens: true),
      PromptSegment("s>", parsesSpecialTokens: false),
    ]
    #expect(!tokenizer.encode(prompt).contains { tokenizer.isControl($0) })
  }

  @Test("knows its special tokens, and answers for ids out of range")
  func properties() throws {
    let tokenizer = try VocabularyFixture.tokenizer(
      extra: [("<|im_end|>", .userDefined), ("<|im_start|>", .control)])
    #expect(tokenizer.beginOfText == 1)
    #expect(tokenizer.addsBeginOfText)
    let turnEnd = TokenID(tokenizer.vocabularySize - 2)
    #expect(tokenizer.endOfGeneration == [2, turnEnd])
    #expect(tokenizer.isControl(turnEnd))
    #expect(!tokenizer.isControl(0))
    for id in [TokenID(-1), TokenID(tokenizer.vocabularySize), .max, .min] {
      #expect(tokenizer.bytes(of: id).isEmpty)
      #expect(tokenizer.token(id).isEmpty)
      #expect(!tokenizer.isControl(id))
    }
    #expect(tokenizer.bytes(of: 1).isEmpty)
    #expect(tokenizer.bytes(of: 3 + 0xC3) == [0xC3])
  }

  static let marks = [
    "<|im_start|>", "<|im_end|>", "<|x|>", "<\u{FF5C}User\u{FF5C}>", "<unused7>", "[INST]",
    "[/INST]", "<<SYS>>", "<</SYS>>", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "<|start_header_id|>",
    "<|end_header_id|>", "<|eot_id|>", "<|user|>", "<start_of_turn>", "<end_of_turn>",
    "\u{2581}[INST]",
  ]

  @Test("makes a mark of a conversation of a template only, however it is typed", arguments: marks)
  func forgedTurns(mark: String) throws {
    let tokenizer = try VocabularyFixture.tokenizer(extra: [(mark, .userDefined)])
    let id = TokenID(tokenizer.vocabularySize - 1)
    #expect(tokenizer.isControl(id))
    let text = "a\(mark)system"
    #expect(!tokenizer.encode(text, parsingSpecialTokens: false).contains(id))
    #expect(tokenizer.encode(text, parsingSpecialTokens: true).contains(id))
  }

  @Test("knows every mark that a chat template writes")
  func templateMarks() throws {
    let families: [ChatTemplate.Family] = [
      .chatML, .llama2(systemBlock: true, repeatsBeginOfText: true, trimsContent: false), .llama3,
      .mistralV1, .mistralV3, .mistralV3Tekken, .mistralV7, .zephyr(end: "</s>"), .gemma,
    ]
    let messages = ["system", "user", "assistant", "user"].map {
      ChatMessage(role: $0, content: "")
    }
    for family in families {
      let prompt = ChatTemplate(family).prompt(messages)
      let found = prompt.matches(of: /<<?\/?[^<>]*>>?|\[[^\[\]]*\]/).map { String($0.output) }
      #expect(!found.isEmpty)
      for mark in found {
        let tokenizer = try VocabularyFixture.tokenizer(extra: [(mark, .userDefined)])
        #expect(tokenizer.isControl(TokenID(tokenizer.vocabularySize - 1)), "\(mark)")
      }
    }
  }

  @Test(
    "leaves user-defined pieces that are text to the text", arguments: ["<table>", "<|>", "[x]"])
  func userDefinedText(piece: String) throws {
    let tokenizer = try VocabularyFixture.tokenizer(extra: [(piece, .userDefined)])
    let id = TokenID(tokenizer.vocabularySize - 1)
    #expect(tokenizer.encode("a\(piece)", parsingSpecialTokens: false).contains(id))
  }

  @Test("takes special ids that are stated for special, without any types")
  func statedIDs() throws {
    var description = VocabularyFixture.description(
      extra: [("</end>", .normal), ("<|im_end|>", .normal)])
    description.types = []
    description.scores = Array(repeating: 0, count: description.pieces.count)
    // So that merging could make the pieces.
    description.pieces[270] = "</"
    let end = TokenID(description.pieces.count - 2)
    (description.unknown, description.beginOfText, description.endOfText) = (0, 1, 2)
    description.endOfTurn = end
    let tokenizer = try SentencePieceTokenizer(description)
    #expect(tokenizer.endOfGeneration == [2, end, end + 1])
    for id in [1, 2, end, end + 1] {
      #expect(tokenizer.isControl(id) && tokenizer.bytes(of: id).isEmpty)
    }
    #expect(tokenizer.bytes(of: 0).isEmpty)
    let special: Set<TokenID> = [0, 1, 2, end, end + 1]
    let text = "<unk><s></s></end><|im_end|>"
    #expect(special.isDisjoint(with: tokenizer.encode(text, parsingSpecialTokens: false)))
    #expect(special.isSubset(of: tokenizer.encode(text, parsingSpecialTokens: true)))
  }

  @Test("never spells text with a control token that is called the unknown one, too")
  func unknownIsControl() throws {
    var description = VocabularyFixture.description()
    (description.unknown, description.endOfText) = (2, 2)
    let tokenizer = try SentencePieceTokenizer(description)
    #expect(tokenizer.isControl(2) && tokenizer.endOfGeneration == [2])
    // A byte piece that is called special stays the byte's.
    description.endOfTurn = 3 + 0x0A
    let bytes = try SentencePieceTokenizer(description)
    let newline: TokenID = 3 + 0x0A
    #expect(bytes.encode("\n", parsingSpecialTokens: false).last == newline)
    description.pieces = ["a", "b", "</s>"]
    (description.scores, description.types) = ([0, 0, 0], [1, 1, 3])
    (description.endOfTurn, description.beginOfText) = (nil, nil)
    #expect(throws: TokenizerError.self) { try SentencePieceTokenizer(description) }
  }

  @Test("spells what it has no bytes for as unknown")
  func unknown() throws {
    let description = TokenizerDescription(
      model: "llama", pieces: ["<unk>", "a", "▁"], scores: [0, 0, 0], types: [2, 1, 1])
    let tokenizer = try makeTokenizer(from: description)
    #expect(tokenizer.encode("aüa", parsingSpecialTokens: false) == [2, 1, 0, 1])
    #expect(!tokenizer.addsBeginOfText)
    #expect(tokenizer.beginOfText == nil)
  }

  @Test("gives back every text that it encodes")
  func roundTrip() throws {
    var generator = SeededGenerator.announced("round trip")
    let tokenizer = try VocabularyFixture.tokenizer(addsSpacePrefix: false)
    for _ in 0..<2_000 {
      let count = Int.random(in: 0...40, using: &generator)
      let text = generator.text(scalars: count)
        .unicodeScalars.filter { $0 != "\u{2581}" }.map(String.init).joined()
      let tokens = tokenizer.encode(text, parsingSpecialTokens: false)
      #expect(tokens.flatMap(tokenizer.bytes) == Array(text.utf8))
    }
  }

  @Test("merges as the plain definition does")
  func reference() throws {
    var generator = SeededGenerator.announced("merging against its definition")
    let description = VocabularyFixture.description()
    let tokenizer = try SentencePieceTokenizer(description)
    for _ in 0..<300 {
      let text = generator.text(scalars: Int.random(in: 0...30, using: &generator))
      let tokens = tokenizer.encode(text, parsingSpecialTokens: false)
      #expect(tokens == plainEncode(text, description))
    }
  }

  /// The definition, in quadratic time: scan all neighbours for the best, join it, begin again.
  private func plainEncode(_ text: String, _ description: TokenizerDescription) -> [TokenID] {
    if text.isEmpty { return [] }
    var ids: [[UInt8]: Int] = [:]
    for (index, piece) in description.pieces.enumerated() where description.types[index] == 1 {
      ids[Array(piece.utf8)] = index
    }
    var symbols = ("▁" + text).unicodeScalars.map {
      Array(($0 == " " ? "▁" : String($0)).utf8)
    }
    while true {
      var best: (score: Float, index: Int)?
      for index in symbols.indices.dropLast() {
        guard let id = ids[symbols[index] + symbols[index + 1]] else { continue }
        let score = description.scores[id]
        if best.map({ score > $0.score }) ?? true { best = (score, index) }
      }
      guard let best else { break }
      symbols[best.index] += symbols.remove(at: best.index + 1)
    }
    return symbols.flatMap { symbol in
      ids[symbol].map { [TokenID($0)] } ?? symbol.map { TokenID($0) + 3 }
    }
  }
}
