import Grammars
import TestModels
import Testing

/// A vocabulary of all single bytes and a few longer pieces.
enum Pieces {
  static let bytes: [[UInt8]] =
    (0...255).map { [UInt8($0)] }
    + ["{\"", "\":", "true", "null", "  ", "abc", "\"}", "123", "é", "😀", "],["].map {
      Array($0.utf8)
    } + [[], Array("true".utf8)]
  static let trie = TokenTrie(bytes)

  /// Whether a grammar takes a text whole, byte by byte; the mask must say so before each byte.
  static func accepts(_ grammar: Grammar, _ text: String) -> Bool {
    var cursor = grammar.start
    for byte in text.utf8 {
      let allowed = grammar.mask(&cursor).contains(Int32(byte))
      let fits = grammar.advance(&cursor, [byte])
      #expect(allowed == fits)
      guard fits else { return false }
    }
    return grammar.mask(&cursor).mayEnd
  }
}

@Suite("Grammars")
struct GrammarTests {
  private func expect(_ grammar: Grammar, takes: [String], refuses: [String]) {
    for text in takes { #expect(Pieces.accepts(grammar, text), "\(text)") }
    for text in refuses { #expect(!Pieces.accepts(grammar, text), "\(text)") }
  }

  @Test("Literals, classes, alternatives and repetitions are what they are in llama.cpp")
  func notation() throws {
    let grammar = try Grammar(
      text: #"""
        # A greeting.
        root ::= greeting ", " name ("!" | "?"){1,3}
        greeting ::= "hello" | "good" " "+ "day"
          | [a-c]{2}
        name ::= [^,\n!?"]+ | "\"" [\x41-Z]* "\"" # quoted
        """#, tokens: Pieces.trie)
    expect(
      grammar,
      takes: ["hello, you!", "good   day, é😀?!?", "ab, x!", "hello, \"ABZ\"!", "cc, \"\"?"],
      refuses: ["", "hello", "hello, !", "goodday, x!", "ad, x!", "hello, \"a\"!", "ab, x!!!!"])
  }

  @Test("Rules may call themselves behind something else")
  func recursion() throws {
    let grammar = try Grammar(
      text: "root ::= \"(\" root \")\" | list\nlist ::= \"x\" (\",\" list)?", tokens: Pieces.trie)
    expect(
      grammar, takes: ["x", "((x,x))", "(x,x,x,x,x,x)"],
      refuses: ["", "()", "((x)", "(x))", "x,", ",x"])
  }

  @Test("Characters beyond ASCII are taken byte by byte, and no others")
  func unicode() throws {
    let grammar = try Grammar(text: "root ::= [à-ÿ€-₿😀-😏]+", tokens: Pieces.trie)
    expect(grammar, takes: ["é", "ÿ€₿😀😏é"], refuses: ["e", "ß", "💩", "é "])
    var numbers = SeededNumbers(seed: 1)
    for _ in 0..<200 {
      let ends = (0..<2).map { _ in UInt32.random(in: 0...0x10FFFF, using: &numbers) }.sorted()
      guard ends.allSatisfy({ !(0xD800...0xDFFF).contains($0) }) else { continue }
      let (low, high) = (String(ends[0], radix: 16), String(ends[1], radix: 16))
      let pad = { (text: String) in String(repeating: "0", count: 8 - text.count) + text }
      let range = try Grammar(
        text: "root ::= [\\U\(pad(low))-\\U\(pad(high))]", tokens: Pieces.trie)
      for value in [ends[0], ends[1], ends[0] &- 1, ends[1] + 1]
        + (0..<20).map({ _ in UInt32.random(in: 0...0x10FFFF, using: &numbers) })
      {
        guard let scalar = Unicode.Scalar(value) else { continue }
        #expect(Pieces.accepts(range, String(scalar)) == (ends[0]...ends[1]).contains(value))
      }
    }
  }

  @Test("A mask holds exactly the tokens whose bytes fit")
  func masks() throws {
    let grammar = try Grammar(
      text: #"root ::= "{\"" [a-z]+ "\":" ("true" | "[123],[" | [0-9]+) "}"?"#, tokens: Pieces.trie)
    var numbers = SeededNumbers(seed: 2)
    for _ in 0..<40 {
      var cursor = grammar.start
      for _ in 0..<20 {
        let mask = grammar.mask(&cursor)
        let fitting = Pieces.bytes.indices.filter { token in
          var copy = cursor
          return !Pieces.bytes[token].isEmpty && grammar.advance(&copy, Pieces.bytes[token])
        }
        #expect(Pieces.bytes.indices.filter { mask.contains(Int32($0)) } == fitting)
        #expect(mask.count == fitting.count)
        guard let token = fitting.randomElement(using: &numbers) else { break }
        #expect(grammar.advance(&cursor, Pieces.bytes[token]))
      }
    }
  }

  @Test("With little room only tokens remain after which the text can end in time")
  func room() throws {
    let grammar = try Grammar(
      text: "root ::= list\nlist ::= \"[\" (list (\",\" list)*)? \"]\" | \"abc\"",
      tokens: Pieces.trie)
    #expect(grammar.leastBytes == 2)
    var numbers = SeededNumbers(seed: 3)
    for room in 2...40 {
      for _ in 0..<20 {
        var cursor = grammar.start
        var left = room
        while !grammar.isComplete(&cursor) {
          let mask = grammar.mask(&cursor, room: left)
          let allowed = Pieces.bytes.indices.filter { mask.contains(Int32($0)) }
          let token = try #require(allowed.randomElement(using: &numbers), "\(room), \(left)")
          #expect(grammar.advance(&cursor, Pieces.bytes[token]))
          left -= 1
        }
        #expect(left >= 0)
      }
    }
  }

  @Test("A text is complete where nothing can follow")
  func complete() throws {
    let grammar = try Grammar(text: "root ::= \"a\" \"b\"? \"c\"*", tokens: Pieces.trie)
    var cursor = grammar.start
    #expect(grammar.advance(&cursor, Array("ab".utf8)) && !grammar.isComplete(&cursor))
    let closed = try Grammar(text: "root ::= \"ab\"", tokens: Pieces.trie)
    var whole = closed.start
    #expect(closed.advance(&whole, [0x61]) && !closed.isComplete(&whole))
    #expect(closed.advance(&whole, [0x62]) && closed.isComplete(&whole))
  }

  @Test("States that were forgotten come again as they were")
  func forgetting() throws {
    // Each character of a bounded run leads to a state of its own, and each text here to others.
    let grammar = try Grammar(
      text: "root ::= ([ab]{1,900} \"x\"){1,40}", tokens: Pieces.trie)
    var kept = grammar.start
    #expect(grammar.advance(&kept, Array("abab".utf8)))
    for count in 1...30 {
      var cursor = grammar.start
      let run = String(repeating: "a", count: 900) + "x"
      #expect(grammar.advance(&cursor, Array(String(repeating: run, count: count).utf8)))
    }
    #expect(grammar.mask(&kept).contains(Int32(UInt8(ascii: "x"))))
    #expect(!grammar.mask(&kept).contains(Int32(UInt8(ascii: "y"))))
    #expect(grammar.advance(&kept, Array("bx".utf8)) && grammar.mask(&kept).mayEnd)
  }

  @Test("Ways to the same rule are one way, however many there are")
  func ambiguous() throws {
    let doubling = (1...40).map { "r\($0) ::= r\($0 + 1) \"x\" | r\($0 + 1) \"y\"\n" }.joined()
    let inside = try Grammar(
      text: "root ::= r1\n" + doubling + "r41 ::= \"a\"", tokens: Pieces.trie)
    #expect(Pieces.accepts(inside, "a" + String(repeating: "xy", count: 20)))
    #expect(!Pieces.accepts(inside, "a" + String(repeating: "x", count: 39)))
    let outside = try Grammar(
      text: #"root ::= "=" root "x" | "=" root "y" | "c""#, tokens: Pieces.trie)
    let half = String(repeating: "=", count: 60)
    #expect(Pieces.accepts(outside, half + "c" + String(repeating: "yxx", count: 20)))
    #expect(!Pieces.accepts(outside, half + "c" + String(repeating: "x", count: 61)))
    let tree = try Grammar(
      jsonSchema: ##"""
        {"anyOf": [{"type": "null"}, {"prefixItems": [{"$ref": "#"}, {"const": 1}], "minItems": 2},
         {"prefixItems": [{"$ref": "#"}, {"const": 2}], "minItems": 2}]}
        """##, tokens: Pieces.trie)
    let deep = String(repeating: "[", count: 60) + "null" + String(repeating: ",2]", count: 60)
    #expect(Pieces.accepts(tree, deep))
  }

  @Test("Rules that may be empty are passed by, and what follows them is met")
  func empty() throws {
    let grammar = try Grammar(
      text: """
        root ::= a b c "!"
        a ::= "x"? b
        b ::= ("y" c)?
        c ::= a2*
        a2 ::= "z" | "w" b
        """, tokens: Pieces.trie)
    expect(
      grammar, takes: ["!", "x!", "y!", "xyz!", "yy!", "zz!", "xyzwyz!", "yzyzwz!"],
      refuses: ["", "xx!", "!x", "yx!", "q!"])
  }

  @Test("A shortest text of no countable length is no reason to fall")
  func enormous() throws {
    let rules = (0..<60).map { "h\($0) ::= h\($0 + 1) h\($0 + 1)\n" }.joined()
    let grammar = try Grammar(
      text: "root ::= \"a\" | \"=\" root h0\n" + rules + "h60 ::= \"x\"", tokens: Pieces.trie)
    var cursor = grammar.start
    #expect(grammar.advance(&cursor, Array("====================".utf8)))
    #expect(grammar.mask(&cursor, room: 1_000_000).count == 0)
    #expect(grammar.mask(&cursor).contains(Int32(UInt8(ascii: "a"))))
  }

  @Test("A grammar with a state of its own for every text stays within bounds")
  func palindromes() throws {
    let letters = (0x61...0x7A).map { String(Unicode.Scalar(UInt8($0))) }
    let rule = letters.map { "\"\($0)\" root \"\($0)\"" }.joined(separator: " | ")
    let long = (0..<20_000).map { number -> [UInt8] in
      let places = [26, 1, 26, 676, 17_576, 3, 7]
      return places.map { UInt8(ascii: "a") + UInt8(number / $0 % 26) }
    }
    let digits = ["a1", "a123", "1234567890", "a12345678901"].map { Array($0.utf8) }
    let tokens = Pieces.bytes + long + digits
    let grammar = try Grammar(
      text: "root ::= \"\" | [0-9]{1,9} \".\" | " + rule, tokens: TokenTrie(tokens))
    let fitting = tokens.indices.filter { token in
      let digits = tokens[token].drop { (0x61...0x7A).contains($0) }
      return !tokens[token].isEmpty && digits.count <= 9
        && digits.allSatisfy { (0x30...0x39).contains($0) }
    }
    var cursor = grammar.start
    let mask = grammar.mask(&cursor)
    #expect(tokens.indices.filter { mask.contains(Int32($0)) } == fitting)
    #expect(grammar.advance(&cursor, Array("abcddcb".utf8)))
    #expect(grammar.mask(&cursor).contains(Int32(UInt8(ascii: "a"))))
    #expect(!grammar.mask(&cursor).contains(Int32(UInt8(ascii: "."))))
    #expect(grammar.advance(&cursor, Array("a12".utf8)))
    #expect(grammar.mask(&cursor).contains(Int32(UInt8(ascii: "."))))
  }

  @Test("What would lead to too many places at once does not fit, or is refused")
  func tooManyPlaces() throws {
    let grammar = try Grammar(
      text: "root ::= ([\\x00-\\x7f]{1,200}){1,200}", tokens: Pieces.trie)
    var cursor = grammar.start
    var count = 0
    while count < 400, grammar.advance(&cursor, [UInt8(ascii: "x")]) { count += 1 }
    // After n bytes there are some n^2 / 2 ways to share them out.
    #expect((80...200).contains(count))
    #expect(grammar.mask(&cursor).count == 0 && !grammar.isComplete(&cursor))
    let names = (0..<3_000).map { "n\($0)" }
    let rules = names.map { "\($0) ::= \"x\"\n" }.joined()
    let error = #expect(throws: GrammarError.self) {
      _ = try Grammar(
        text: "root ::= (r?){9}\nr ::= \(names.joined(separator: " | "))\n" + rules,
        tokens: Pieces.trie)
    }
    #expect(error?.message.contains("8192 places") == true, "\(error?.message ?? "")")
  }

  @Test("The largest grammars are compiled, or refused, in moments")
  func large() throws {
    // Each rule calls the next one; each is twice as long as the next; each may be empty.
    let chains: [(Int) -> String] = [
      { "r\($0) ::= \"x\" r\($0 + 1)?\n" }, { "r\($0) ::= r\($0 + 1) r\($0 + 1)\n" },
      { "r\($0) ::= r\($0 + 1)? \"y\"?\n" }, { "r\($0) ::= r\($0 + 1) | r\($0 + 2)\n" },
    ]
    for chain in chains {
      let count = 2_500
      let rules = (0..<count).map(chain).joined()
      let text =
        "root ::= r0\n" + rules + "r\(count) ::= \"z\"\nr\(count + 1) ::= \"z\"\n"
      _ = try? Grammar(text: text, tokens: Pieces.trie)
    }
    // A byte leads to thousands of places, and a rule calls thousands of others.
    let names = (0..<40).flatMap { first in (0..<40).map { "n\(first)-\($0)" } }
    let wide = [
      "root ::= ([\\x00-\\x7f]{1,60}){1,60}",
      "root ::= (r?){2}\nr ::= \(names.joined(separator: " | "))\n"
        + names.map { "\($0) ::= \"x\"\n" }.joined(),
      "root ::= " + names.map { "[ab] \"\($0)\"" }.joined(separator: " | "),
    ]
    for text in wide {
      let grammar = try Grammar(text: text, tokens: Pieces.trie)
      var cursor = grammar.start
      for byte in "xxxxxxxxxx".utf8 where grammar.advance(&cursor, [byte]) {
        #expect(grammar.mask(&cursor).count > 0 || grammar.mask(&cursor).mayEnd)
      }
    }
    let values = (0..<6_000).map { "\"v\($0)\"" }.joined(separator: ",")
    let grammar = try Grammar(jsonSchema: "{\"enum\": [\(values)]}", tokens: Pieces.trie)
    #expect(Pieces.accepts(grammar, "\"v5999\"") && !Pieces.accepts(grammar, "\"v6000\""))
  }

  @Test(
    "What is wrong with a grammar is said, with its place",
    arguments: [
      ("", "no rule called root"), ("a ::= \"x\"", "no rule called root"),
      ("root ::= x", "x is used and not defined"), ("root = \"x\"", "line 1: ::= is missing"),
      ("root ::= \"x", "closing quote"), ("root ::= [a", "] is missing"),
      ("root ::= (\"x\"", ") is missing"), ("root ::= [z-a]", "backwards"),
      ("root ::= \"\\q\"", "is no escape"),
      ("\n\nroot ::= \"x\"{2,1}", "line 3: {2,1} runs backwards"),
      ("root ::= \"x\"{2000}", "0 to 1000"), ("root ::= \"x\"\nroot ::= \"y\"", "defined twice"),
      ("root ::= root \"x\" | \"x\"", "root can begin with itself"),
      ("root ::= a\na ::= \"x\"? b\nb ::= root", "can begin with itself"),
      ("root ::= \"x\" root", "never comes to an end"),
      ("root ::= [^\\x00-\\U0010FFFF]", "never comes"),
      ("root ::= ((\"x\"{1000}){1000}){1000}", "too large"),
      ("root ::= " + String(repeating: "(", count: 100), "too deep"),
      (#"root ::= "\x+1""#, "hexadecimal"),
      (String(repeating: "#", count: 70_000), "65536"),
    ])
  func errors(text: String, message: String) {
    let error = #expect(throws: GrammarError.self) {
      _ = try Grammar(text: text, tokens: Pieces.trie)
    }
    #expect(error?.message.contains(message) == true, "\(error?.message ?? "")")
  }

  @Test(
    "Random damage gives an error or a grammar, never a crash", arguments: [1, 2, 3] as [UInt64])
  func fuzz(seed: UInt64) {
    var numbers = SeededNumbers(seed: seed)
    let good = Array(
      "root ::= [a-z]{2,5} (\"x\" | y)* # c\ny ::= \"\\n\\x41\" . [^\\]a-]+\n".unicodeScalars)
    for _ in 0..<3_000 {
      var text = good
      for _ in 0..<Int.random(in: 1...6, using: &numbers) {
        let place = Int.random(in: text.indices, using: &numbers)
        switch Int.random(in: 0..<3, using: &numbers) {
        case 0: text.remove(at: place)
        case 1: text[place] = good.randomElement(using: &numbers) ?? "x"
        default: text.insert(good.randomElement(using: &numbers) ?? "{", at: place)
        }
      }
      let source = String(String.UnicodeScalarView(text))
      guard let grammar = try? Grammar(text: source, tokens: Pieces.trie) else { continue }
      var cursor = grammar.start
      for _ in 0..<8 {
        let mask = grammar.mask(&cursor, room: 30)
        guard
          let token = Pieces.bytes.indices.filter({ mask.contains(Int32($0)) })
            .randomElement(using: &numbers)
        else { break }
        #expect(grammar.advance(&cursor, Pieces.bytes[token]))
      }
    }
  }
}
