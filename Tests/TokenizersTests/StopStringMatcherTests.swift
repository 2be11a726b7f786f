import Testing
import Tokenizers

@Suite("A stop string matcher")
struct StopStringMatcherTests {
  private func run(_ stops: [String], _ pieces: [String]) -> (text: String, match: String?) {
    var matcher = StopStringMatcher(stops)
    var text = ""
    for piece in pieces {
      let output = matcher.append(piece)
      text += output.text
      if let match = output.match { return (text, match) }
    }
    return (text + matcher.finish(), nil)
  }

  @Test("finds a stop string across pieces, and releases what comes before it")
  func acrossPieces() {
    var matcher = StopStringMatcher(["\nUser:"])
    #expect(matcher.append("Yes.\nUs") == .init(text: "Yes.", match: nil))
    #expect(!matcher.hasMatched)
    #expect(matcher.append("er: next") == .init(text: "", match: "\nUser:"))
    #expect(matcher.hasMatched)
    #expect(matcher.append("more") == .init(text: "", match: nil))
    #expect(matcher.finish() == "")
  }

  @Test("releases at once what can begin no stop string")
  func releases() {
    var matcher = StopStringMatcher(["abab"])
    #expect(matcher.append("xaba").text == "x")
    #expect(matcher.append("c").text == "abac")
    #expect(matcher.append("ab").text == "")
    #expect(matcher.append("aba").match == "abab")
  }

  @Test("lets the match that is complete first win, and the longest of those")
  func earliest() {
    #expect(run(["abcd", "bc"], ["abcd"]) == ("a", "bc"))
    #expect(run(["c", "abc", "bc"], ["xabc"]) == ("x", "abc"))
    #expect(run(["b", "a"], ["xxab"]) == ("xx", "a"))
  }

  @Test("lets everything through without stop strings, and gives back what it held at the end")
  func unmatched() {
    #expect(run([], ["a", "b"]) == ("ab", nil))
    #expect(run([""], ["a", "b"]) == ("ab", nil))
    #expect(run(["bcd"], ["a", "bc"]) == ("abc", nil))
  }

  @Test("compares bytes, and never releases half a character")
  func characters() {
    #expect(run(["é"], ["e\u{301}"]) == ("e\u{301}", nil))
    var matcher = StopStringMatcher(["€uro"])
    #expect(matcher.append("5 €").text == "5 ")
    // "₠" shares its first two bytes with "€".
    #expect(matcher.append("₠").text == "€₠")
    #expect(matcher.append("€uro").match == "€uro")
  }

  @Test("gives the same result however the text is cut")
  func cuts() {
    var generator = SeededGenerator.announced("stop strings")
    for _ in 0..<5_000 {
      let stops = (0..<Int.random(in: 1...3, using: &generator)).map { _ in
        random(1...4, &generator)
      }
      let text = random(0...20, &generator)
      let scalars = Array(text.unicodeScalars)
      var pieces: [String] = []
      var start = 0
      while start < scalars.count {
        let end = Int.random(in: start + 1...scalars.count, using: &generator)
        pieces.append(scalars[start..<end].map(String.init).joined())
        start = end
      }
      #expect(run(stops, pieces) == expected(stops, text))
    }
  }

  /// The definition: the shortest beginning of the text that ends with a stop string.
  private func expected(_ stops: [String], _ text: String) -> (text: String, match: String?) {
    let bytes = Array(text.utf8)
    for end in 0...bytes.count {
      let found = stops.filter { bytes.prefix(end).suffix($0.utf8.count).elementsEqual($0.utf8) }
      if let stop = found.max(by: { $0.utf8.count < $1.utf8.count }) {
        return (String(decoding: bytes.prefix(end - stop.utf8.count), as: UTF8.self), stop)
      }
    }
    return (text, nil)
  }

  private func random(_ count: ClosedRange<Int>, _ generator: inout SeededGenerator) -> String {
    let letters = ["a", "b", "é", "ê"]
    return (0..<Int.random(in: count, using: &generator)).map { _ in
      letters[Int.random(in: 0..<letters.count, using: &generator)]
    }.joined()
  }
}
