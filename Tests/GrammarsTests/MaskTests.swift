import Grammars
import TestModels
import Testing

/// What masks say of whole tokens, beside trying each of them byte by byte.
@Suite("Masks")
struct MaskTests {
  private static let alphabet = Array("ab, x1\"\\é".utf8)
  /// All single bytes, all tokens of two and three bytes of the alphabet, and longer runs.
  private static let tokens: [[UInt8]] = {
    let pairs = alphabet.flatMap { first in alphabet.map { [first, $0] } }
    let triples = pairs.flatMap { pair in alphabet.map { pair + [$0] } }
    let runs = (4...20).flatMap { count in
      [
        Array(repeating: UInt8(ascii: "a"), count: count),
        Array("ab1 ab1 ab1 ab1 ab1".utf8.prefix(count)),
      ]
    }
    return (0...255).map { [UInt8($0)] } + pairs + triples + runs
  }()
  private static let trie = TokenTrie(tokens)

  private static let schemas = [
    #"{"type": "string"}"#,
    #"{"type": "string", "minLength": 2, "maxLength": 9}"#,
    #"{"type": "array", "items": {"type": "string", "maxLength": 4}, "minItems": 2}"#,
    #"{"anyOf": [{"type": "string"}, {"type": "string", "pattern": "^[a-x]{3,}1$"}]}"#,
    #"{"type": "object", "additionalProperties": {"type": ["string", "integer"]}}"#,
    #"{"enum": ["a", "ab", "a,b", "xab", 1, 11, null]}"#,
  ]
  private static let texts = [
    "root ::= [^x]{3,30} \"x\"",
    "root ::= ([ab]{1,3} | [a-c]+ | [^,]{2,4}) \",\" root | \"1\"",
    "root ::= \"a\"{0,40} (\"b\" [ab ]{5} | [^b] root?)",
    "root ::= inner{2,4} \"x\"\ninner ::= [ab1]{1,6} \",\" | \"(\" inner \")\"",
  ]

  private static func grammar(_ number: Int) throws -> Grammar {
    number < schemas.count
      ? try Grammar(jsonSchema: schemas[number], tokens: trie)
      : try Grammar(text: texts[number - schemas.count], tokens: trie)
  }

  @Test(
    "A mask holds the tokens that can be added, and no others",
    arguments: 0..<schemas.count + texts.count)
  func tokensThatFit(number: Int) throws {
    var numbers = SeededNumbers(seed: UInt64(number))
    for _ in 0..<6 {
      // One that knows nothing but what it is asked, and one that has been asked for all masks.
      let grammar = try Self.grammar(number)
      let bytewise = try Self.grammar(number)
      var cursor = grammar.start
      var other = bytewise.start
      for _ in 0..<12 {
        let mask = grammar.mask(&cursor)
        let fitting = Self.tokens.indices.filter { token in
          var tried = other
          return bytewise.advance(&tried, Self.tokens[token])
        }
        #expect(Self.tokens.indices.filter { mask.contains(Int32($0)) } == fitting)
        guard let token = fitting.randomElement(using: &numbers) else { break }
        #expect(grammar.advance(&cursor, Self.tokens[token]))
        #expect(bytewise.advance(&other, Self.tokens[token]))
      }
    }
  }

  @Test(
    "Where little room is left, a mask holds the tokens after which the text can come to its end",
    arguments: schemas.count..<schemas.count + texts.count)
  func tokensThatLeaveRoom(number: Int) throws {
    var numbers = SeededNumbers(seed: UInt64(number))
    let grammar = try Self.grammar(number)
    let bytewise = try Self.grammar(number)
    for _ in 0..<4 {
      var cursor = grammar.start
      var other = bytewise.start
      for _ in 0..<8 {
        for room in 1...3 {
          let mask = grammar.mask(&cursor, room: room)
          let fitting = Self.tokens.indices.filter { token in
            var tried = other
            return bytewise.advance(&tried, Self.tokens[token])
              && Self.canEnd(bytewise, tried, within: room - 1)
          }
          #expect(Self.tokens.indices.filter { mask.contains(Int32($0)) } == fitting)
        }
        let mask = grammar.mask(&cursor)
        guard
          let token = Self.tokens.indices.filter({ mask.contains(Int32($0)) })
            .randomElement(using: &numbers)
        else { break }
        #expect(grammar.advance(&cursor, Self.tokens[token]))
        #expect(bytewise.advance(&other, Self.tokens[token]))
      }
    }
  }

  /// Whether a text can be whole after so many bytes more, by trying them.
  private static func canEnd(_ grammar: Grammar, _ cursor: Grammar.Cursor, within bytes: Int)
    -> Bool
  {
    var cursor = cursor
    if grammar.mask(&cursor).mayEnd { return true }
    guard bytes > 0 else { return false }
    // One of these goes on behind any first byte of a character.
    return (alphabet + Array("()".utf8) + [0x80]).contains { byte in
      var next = cursor
      return grammar.advance(&next, [byte]) && canEnd(grammar, next, within: bytes - 1)
    }
  }
}
