/// Finds stop strings in text that comes in pieces, and holds back what might become one.
///
/// The match that is complete first wins; of several complete at the same byte, the longest. That
/// depends on the text alone, not on how it was cut into pieces. Text is compared byte by byte (no
/// Unicode normalisation), and what is released never ends inside a character's encoding.
///
/// ```swift
/// var matcher = StopStringMatcher(["\nUser:"])
/// matcher.append("Yes.\nUs")   // text "Yes.", no match: "\nUs" is held back
/// matcher.append("er: next")   // text "", match "\nUser:"
/// ```
///
/// Each stop string is followed by a Knuth-Morris-Pratt automaton: one step a byte and stop string.
public struct StopStringMatcher: Sendable {
  /// What a piece of text led to.
  public struct Output: Sendable, Equatable {
    /// The text that is certain to come before any stop string.
    public let text: String
    /// The stop string that was found; nothing of it, and nothing after it, is ever released.
    public let match: String?

    /// Makes an output.
    public init(text: String, match: String?) {
      self.text = text
      self.match = match
    }
  }

  private var automata: [StopAutomaton]
  private var held: [UInt8] = []
  /// Whether a stop string was found: from then on everything is swallowed.
  public private(set) var hasMatched = false

  /// A matcher of these strings; empty strings are ignored.
  public init(_ stopStrings: [String]) {
    automata = stopStrings.filter { !$0.isEmpty }.map(StopAutomaton.init)
  }

  /// Takes the next piece of text and says what can be released.
  public mutating func append(_ piece: String) -> Output {
    if hasMatched { return Output(text: "", match: nil) }
    if automata.isEmpty { return Output(text: piece, match: nil) }
    for byte in piece.utf8 {
      held.append(byte)
      if let found = step(byte) {
        let text = String(decoding: held.dropLast(found.pattern.count), as: UTF8.self)
        held = []
        hasMatched = true
        return Output(text: text, match: found.text)
      }
    }
    let keep = automata.map(\.matched).max() ?? 0
    let text = String(decoding: held.dropLast(keep), as: UTF8.self)
    held = Array(held.suffix(keep))
    return Output(text: text, match: nil)
  }

  /// What was held back, at the end of the output.
  public mutating func finish() -> String {
    defer { held = [] }
    return String(decoding: held, as: UTF8.self)
  }

  /// Moves every automaton on and returns the longest that is complete.
  private mutating func step(_ byte: UInt8) -> StopAutomaton? {
    var found: StopAutomaton?
    for index in automata.indices {
      automata[index].step(byte)
      let candidate = automata[index]
      if candidate.isComplete, candidate.pattern.count > found?.pattern.count ?? 0 {
        found = candidate
      }
    }
    return found
  }
}

/// How much of one stop string the latest bytes are (Knuth, Morris and Pratt, 1977).
private struct StopAutomaton: Sendable {
  let text: String
  let pattern: [UInt8]
  /// For each length: the longest shorter beginning of the pattern that the matched part ends with.
  private let fallback: [Int]
  /// Bytes of the pattern that the latest bytes are.
  private(set) var matched = 0

  init(_ text: String) {
    self.text = text
    let pattern = Array(text.utf8)
    var fallback = [0, 0]
    var length = 0
    for index in pattern.indices.dropFirst() {
      while length > 0, pattern[index] != pattern[length] { length = fallback[length] }
      if pattern[index] == pattern[length] { length += 1 }
      fallback.append(length)
    }
    self.pattern = pattern
    self.fallback = fallback
  }

  var isComplete: Bool { matched == pattern.count }

  mutating func step(_ byte: UInt8) {
    if isComplete { matched = fallback[matched] }
    while matched > 0, pattern[matched] != byte { matched = fallback[matched] }
    if pattern[matched] == byte { matched += 1 }
  }
}
