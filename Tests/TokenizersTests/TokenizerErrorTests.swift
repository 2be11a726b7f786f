import Testing
import Tokenizers

@Suite("A vocabulary that cannot work")
struct TokenizerErrorTests {
  @Test("is refused with a code", arguments: TokenizerErrorTests.cases)
  func refused(_ name: String, _ description: TokenizerDescription, _ code: TokenizerError.Code)
    throws
  {
    let error = #expect(throws: TokenizerError.self) { try makeTokenizer(from: description) }
    #expect(error?.code == code)
  }

  static let cases: [(String, TokenizerDescription, TokenizerError.Code)] = [
    ("no pieces", changed { $0.pieces = [] }, .emptyVocabulary),
    ("another kind", changed { $0.model = "bert" }, .unsupportedModel),
    ("a score too few", changed { $0.scores.removeLast() }, .lengthMismatch),
    ("a type too many", changed { $0.types.append(1) }, .lengthMismatch),
    ("a score that is no number", changed { $0.scores[7] = .nan }, .invalidValue),
    ("a type that is unknown", changed { $0.types[7] = 9 }, .invalidValue),
    ("an end beyond the pieces", changed { $0.endOfText = 5_000 }, .tokenOutOfRange),
    ("a negative beginning", changed { $0.beginOfText = -1 }, .tokenOutOfRange),
    ("an unknown beyond the pieces", changed { $0.unknown = .max }, .tokenOutOfRange),
    ("an end of turn beyond the pieces", changed { $0.endOfTurn = 900 }, .tokenOutOfRange),
    (
      "no way to spell a byte",
      changed {
        $0.types[0] = 1
        $0.types[3] = 1
      }, .invalidValue
    ),
  ]

  @Test("of an unknown kind is told which kinds are known")
  func knownKinds() {
    let error = #expect(throws: TokenizerError.self) {
      try makeTokenizer(from: Self.changed { $0.model = "gpt2" })
    }
    #expect(error?.message.contains("'gpt2'") == true)
    #expect(error?.message.contains("llama") == true)
  }

  @Test("and whose kind is no name shows nothing of it")
  func hostileKind() {
    for kind in ["\u{1B}[2J", String(repeating: "x", count: 100_000), "a b"] {
      let error = #expect(throws: TokenizerError.self) {
        try makeTokenizer(from: Self.changed { $0.model = kind })
      }
      #expect(error?.code == .unsupportedModel)
      #expect(error?.message.contains(kind) == false && (error?.message.count ?? 0) < 200)
    }
  }

  private static func changed(
    _ change: (inout TokenizerDescription) -> Void
  ) -> TokenizerDescription {
    var description = VocabularyFixture.description()
    change(&description)
    return description
  }
}
