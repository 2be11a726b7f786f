import Grammars
import TestModels
import Testing

/// What masks say of whole tokens.
@Suite("Masks")
struct MaskTests {
  /// A grammar, and by hand the fewest bytes that are left behind a beginning of its texts; nil where
  /// it is none.
  struct Known: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let isSchema: Bool
    let left: @Sendable ([UInt8]) -> Int?

    func grammar(_ trie: TokenTrie) throws -> Grammar {
      isSchema
        ? try Grammar(jsonSchema: testDescription, tokens: trie)
        : try Grammar(text: testDescription, tokens: trie)
    }
  }

  /// All tokens of one to three bytes of some characters, all of up to four of some letters, so that much
  /// comes below most of them, and longer runs; no token has a backslash.
  private static let tokens: [[UInt8]] = {
    func strings(_ characters: String, _ lengths: ClosedRange<Int>) -> [[UInt8]] {
      lengths.flatMap { length in
        (0..<length).reduce([[]]) { strings, _ in
          strings.flatMap { string in characters.utf8.map { string + [$0] } }
        }
      }
    }
    let runs = (4...24).flatMap { count in
      ["a", "ab1 ", "cde"].map { run in
        Array(String(repeating: run, count: count).utf8.prefix(count))
      }
    }
    return strings("ab, x1\"", 1...3) + strings("cde", 1...4) + runs
  }()
  private static let trie = TokenTrie(tokens)

  private static let known = [
    Known(testDescription: #"root ::= [^x]{3,30} "x""#, isSchema: false) { text in
      let count = text.firstIndex(of: UInt8(ascii: "x")) ?? text.count
      guard count <= 30 else { return nil }
      if count == text.count { return max(3 - count, 0) + 1 }
      return count >= 3 && count == text.count - 1 ? 0 : nil
    },
    Known(
      testDescription: #"root ::= ([ab]{1,3} | [a-c]+ | [^,]{2,4}) "," root | "1""#, isSchema: false
    ) { text in
      let parts = text.split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false)
      let abc = Array("abc".utf8)
      func fits(_ part: ArraySlice<UInt8>) -> Bool { part.allSatisfy(abc.contains) }
      guard let last = parts.last,
        parts.dropLast().allSatisfy({ !$0.isEmpty && (fits($0) || (2...4).contains($0.count)) }),
        fits(last) || last.count <= 4
      else { return nil }
      if last.isEmpty { return 1 }
      if last == [UInt8(ascii: "1")] { return 0 }
      return fits(last) || last.count >= 2 ? 2 : 3
    },
    string(2...9), string(0...24), string(0...1_000),
    Known(testDescription: #"root ::= [ab] root [cd] | "x""#, isSchema: false) { text in
      let opened = text.prefix { (0x61...0x62).contains($0) }.count
      guard opened < text.count else { return opened + 1 }
      let closing = text.dropFirst(opened + 1)
      guard text[opened] == UInt8(ascii: "x"), closing.count <= opened,
        closing.allSatisfy({ (0x63...0x64).contains($0) })
      else { return nil }
      return opened - closing.count
    },
  ]

  /// A JSON string of so many characters.
  private static func string(_ lengths: ClosedRange<Int>) -> Known {
    Known(
      testDescription:
        #"{"type": "string", "minLength": \#(lengths.lowerBound), "maxLength": \#(lengths.upperBound)}"#,
      isSchema: true
    ) { text in
      guard let first = text.first else { return lengths.lowerBound + 2 }
      let inside = text.dropFirst().prefix { $0 != UInt8(ascii: "\"") }.count
      guard first == UInt8(ascii: "\""), inside <= lengths.upperBound else { return nil }
      if inside == text.count - 1 { return max(lengths.lowerBound - inside, 0) + 1 }
      return inside == text.count - 2 && inside >= lengths.lowerBound ? 0 : nil
    }
  }

  @Test("A mask holds the tokens that fit and leave room enough, and no others", arguments: known)
  func masks(known: Known) throws {
    var numbers = SeededNumbers(seed: 5)
    for _ in 0..<20 {
      let grammar = try known.grammar(Self.trie)
      var cursor = grammar.start
      var text: [UInt8] = []
      for _ in 0..<12 {
        let left = Self.tokens.map { known.left(text + $0) }
        #expect(Self.members(grammar.mask(&cursor)) == left.indices.filter { left[$0] != nil })
        for room in [1, 2, 3, 5, 12] {
          let fitting = left.indices.filter { (left[$0] ?? .max) <= room - 1 }
          #expect(Self.members(grammar.mask(&cursor, room: room)) == fitting)
        }
        #expect(grammar.mask(&cursor).mayEnd == (known.left(text) == 0))
        guard let token = left.indices.filter({ left[$0] != nil }).randomElement(using: &numbers)
        else { break }
        #expect(grammar.advance(&cursor, Self.tokens[token]))
        text += Self.tokens[token]
      }
    }
  }

  @Test("Masks do not depend on what was asked before", arguments: known)
  func history(known: Known) throws {
    var numbers = SeededNumbers(seed: 6)
    let grammar = try known.grammar(Self.trie)
    var texts: [[UInt8]] = [[]]
    var masks: [[[UInt64]]] = []
    for _ in 0..<24 {
      var cursor = grammar.start
      #expect(grammar.advance(&cursor, texts[texts.count - 1]))
      masks.append([grammar.mask(&cursor).words, grammar.mask(&cursor, room: 4).words])
      let fitting = Self.members(grammar.mask(&cursor))
      texts.append(
        fitting.randomElement(using: &numbers).map { texts[texts.count - 1] + Self.tokens[$0] }
          ?? [])
    }
    let other = try known.grammar(Self.trie)
    for (text, expected) in zip(texts, masks).reversed() {
      var cursor = other.start
      #expect(other.advance(&cursor, text))
      #expect(other.mask(&cursor, room: 4).words == expected[1])
      #expect(other.mask(&cursor).words == expected[0])
    }
  }

  @Test(
    "A schema's mask holds the tokens that can be added byte by byte",
    arguments: [
      #"{"type": "array", "items": {"type": "string", "maxLength": 4}, "minItems": 2}"#,
      #"{"anyOf": [{"type": "string"}, {"type": "string", "pattern": "^[a-x]{3,}1$"}]}"#,
      #"{"type": "object", "additionalProperties": {"type": ["string", "integer"]}}"#,
      #"{"enum": ["a", "ab", "a,b", "xab", 1, 11, null]}"#,
    ])
  func schemas(schema: String) throws {
    var numbers = SeededNumbers(seed: 7)
    let tokens = Self.tokens + Pieces.bytes
    let trie = TokenTrie(tokens)
    for _ in 0..<6 {
      // One that is asked for masks, and one that is only asked for bytes.
      let grammar = try Grammar(jsonSchema: schema, tokens: trie)
      let bytewise = try Grammar(jsonSchema: schema, tokens: trie)
      var cursor = grammar.start
      var other = bytewise.start
      for _ in 0..<12 {
        let fitting = tokens.indices.filter { token in
          var tried = other
          return !tokens[token].isEmpty && bytewise.advance(&tried, tokens[token])
        }
        #expect(Self.members(grammar.mask(&cursor)) == fitting)
        guard let token = fitting.randomElement(using: &numbers) else { break }
        #expect(grammar.advance(&cursor, tokens[token]))
        #expect(bytewise.advance(&other, tokens[token]))
      }
    }
  }

  @Test("A token may have up to 256 bytes, and a vocabulary may be empty")
  func lengths() throws {
    let trie = TokenTrie([250, 256, 257].map { Array(repeating: UInt8(ascii: "a"), count: $0) })
    for text in ["root ::= [a-z]+", "root ::= [a-z]{1,1000}", "root ::= \"a\"+"] {
      let grammar = try Grammar(text: text, tokens: trie)
      var cursor = grammar.start
      #expect(Self.members(grammar.mask(&cursor)) == [0, 1])
    }
    let grammar = try Grammar(text: "root ::= [a-z]+", tokens: TokenTrie([]))
    var cursor = grammar.start
    #expect(grammar.mask(&cursor).count == 0)
  }

  private static func members(_ mask: TokenMask) -> [Int] {
    mask.words.enumerated().flatMap { word, bits in
      (0..<64).filter { bits >> UInt64($0) & 1 == 1 }.map { 64 * word + $0 }
    }
  }
}
