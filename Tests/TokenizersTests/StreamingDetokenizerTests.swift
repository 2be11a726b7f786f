import Testing
import Tokenizers

@Suite("A streaming detokenizer")
struct StreamingDetokenizerTests {
  @Test("holds a character back until it is whole")
  func holdsBack() throws {
    var stream = StreamingDetokenizer(try VocabularyFixture.tokenizer())
    let euro: [TokenID] = [0xE2, 0x82, 0xAC].map { $0 + 3 }
    #expect(euro.map { stream.append($0) } == ["", "", "€"])
    #expect(stream.finish() == "")
  }

  @Test("gives a broken character up as soon as it is broken")
  func broken() throws {
    var stream = StreamingDetokenizer(try VocabularyFixture.tokenizer())
    #expect(stream.append(3 + 0xE2) == "")
    #expect(stream.append(3 + 0x41) == "\u{FFFD}A")
    #expect(stream.append(3 + 0xFF) == "\u{FFFD}")
    #expect(stream.append(3 + 0xF0) == "")
    #expect(stream.append(3 + 0x9F) == "")
    #expect(stream.finish() == "\u{FFFD}")
    #expect(stream.finish() == "")
  }

  @Test("keeps the first space, drops control tokens and replaces NUL")
  func tokens() throws {
    let tokenizer = try VocabularyFixture.tokenizer()
    var stream = StreamingDetokenizer(tokenizer)
    let tokens = [1] + tokenizer.encode("ab c", parsingSpecialTokens: false) + [2, 3]
    #expect(tokens.map { stream.append($0) }.joined() == " ab c\u{FFFD}")
  }

  @Test("gives the same text as decoding everything at once, however the bytes are cut")
  func sameAsWhole() throws {
    var generator = SeededGenerator.announced("streamed UTF-8")
    let tokenizer = try VocabularyFixture.tokenizer()
    // Leads, continuations and edges of every row of the table of well-formed sequences.
    let edges: [UInt8] = [
      0x00, 0x41, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC1, 0xC2, 0xDF, 0xE0, 0xE1,
      0xEC, 0xED, 0xEE, 0xEF, 0xF0, 0xF1, 0xF3, 0xF4, 0xF5, 0xFF,
    ]
    for _ in 0..<20_000 {
      let count = Int.random(in: 0...12, using: &generator)
      let bytes = (0..<count).map { _ in edges[Int.random(in: 0..<edges.count, using: &generator)] }
      var stream = StreamingDetokenizer(tokenizer)
      var text = ""
      var start = 0
      while start < count {
        let end = Int.random(in: start + 1...count, using: &generator)
        text += stream.append(bytes: bytes[start..<end])
        start = end
      }
      text += stream.finish()
      let whole = String(decoding: bytes, as: UTF8.self)
        .unicodeScalars.map { $0 == "\0" ? "\u{FFFD}" : String($0) }.joined()
      #expect(Array(text.utf8) == Array(whole.utf8))
    }
  }
}
