import Testing
import Tokenizers

@Suite("A megabyte of text")
struct LargeInputTests {
  /// Inputs that are worst for a careless tokenizer; quadratic time would take hours.
  @Test(
    "is encoded and given back",
    arguments: ["a", "ab c<s></s>é", " ", "\n", "<", "aaaaaaab", "日本"])
  func roundTrip(_ unit: String) throws {
    let text = String(repeating: unit, count: (1 << 20) / unit.utf8.count)
    let tokenizer = try VocabularyFixture.tokenizer(
      extra: (2...31).map { (String(repeating: "\n", count: $0), .userDefined) },
      addsSpacePrefix: false)
    for special in [false, true] {
      let tokens = tokenizer.encode(text, parsingSpecialTokens: special)
      #expect(special || tokens.flatMap(tokenizer.bytes) == Array(text.utf8))
      #expect(!tokens.isEmpty)
    }
  }
}
