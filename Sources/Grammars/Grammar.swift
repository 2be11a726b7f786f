import Synchronization

/// What a text must be, ready to say which tokens may come next.
///
/// ```swift
/// let grammar = try Grammar(jsonSchema: #"{"type": "integer"}"#, tokens: trie)
/// var text = grammar.start
/// let mask = grammar.mask(text)   // which tokens may be first
/// ```
///
/// A grammar becomes, where it is used, an automaton that only has to be looked up: see `Automaton`.
///
/// Can be used from many threads at once.
public final class Grammar: Sendable {
  /// How far a text has come.
  public struct Cursor: Sendable, Hashable {
    var state: Int32
    var generation: Int
    var bytes: [UInt8] = []
  }

  private let places: Places
  private let tokens: TokenTrie
  private let automaton: Mutex<Automaton>

  /// A grammar in the notation of llama.cpp (GBNF).
  public convenience init(text: String, tokens: TokenTrie) throws(GrammarError) {
    try Self.check(text)
    try self.init(GrammarText.rules(text), tokens)
  }

  /// A JSON schema, whose documents the texts are.
  public convenience init(jsonSchema: String, tokens: TokenTrie) throws(GrammarError) {
    try Self.check(jsonSchema)
    try self.init(JSONSchemaRules.rules(jsonSchema), tokens)
  }

  private static func check(_ source: String) throws(GrammarError) {
    guard source.utf8.count <= GrammarLimits.sourceBytes else {
      throw GrammarError(
        "it has \(source.utf8.count) bytes; the limit is \(GrammarLimits.sourceBytes)")
    }
  }

  private init(_ rules: GrammarRules, _ tokens: TokenTrie) throws(GrammarError) {
    places = try Places(rules)
    self.tokens = tokens
    let automaton = Automaton(places)
    guard automaton.start >= 0 else {
      throw GrammarError(
        "a text could begin at more than \(GrammarLimits.placesAtOnce) places of the grammar at once; "
          + "make it less ambiguous")
    }
    self.automaton = Mutex(automaton)
  }

  /// The fewest bytes of a text.
  public var leastBytes: Int { places.leastBytes[Int(places.starts[places.root])] }

  /// No text yet.
  public var start: Cursor {
    automaton.withLock { Cursor(state: $0.start, generation: $0.generation) }
  }

  /// Which tokens may come next. With `room`, the most tokens that may still follow, only those
  /// after which the text can come to its end within them, a byte a token.
  public func mask(_ cursor: inout Cursor, room: Int? = nil) -> TokenMask {
    automaton.withLock { automaton in
      let state = automaton.state(&cursor, places)
      let whole = automaton.mask(state, places, tokens)
      // Nearly always every token that fits leaves enough.
      guard let room, room - 1 < whole.mostLeft else { return whole.mask }
      return automaton.makeMask(state, places, tokens, left: max(room - 1, 0)).mask
    }
  }

  /// Adds a token's bytes to the text; false where they do not fit, and the text is as before.
  public func advance(_ cursor: inout Cursor, _ bytes: some Sequence<UInt8>) -> Bool {
    automaton.withLock { automaton in
      var state = automaton.state(&cursor, places)
      for byte in bytes {
        state = automaton.next(state, byte, places)
        guard state >= 0 else { return false }
      }
      cursor.state = state
      cursor.bytes += bytes
      return true
    }
  }

  /// Whether the text is whole, and nothing could be added to it.
  public func isComplete(_ cursor: inout Cursor) -> Bool {
    automaton.withLock { automaton in
      let state = automaton.state(&cursor, places)
      return automaton.isComplete(state)
    }
  }
}
