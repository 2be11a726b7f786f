import Synchronization

/// What a text must be, ready to say which tokens may come next.
///
/// ```swift
/// let grammar = try Grammar(jsonSchema: #"{"type": "integer"}"#, tokens: trie)
/// var text = grammar.start
/// let mask = grammar.mask(text)   // which tokens may be first
/// ```
///
/// A text so far is a set of stacks of places in rules (a pushdown automaton without left
/// recursion, over bytes, as llama.cpp's over characters). Sets that were met once are kept under a
/// number, with where each byte leads and which tokens fit, so that a grammar becomes, where it is
/// used, an automaton that only has to be looked up (as XGrammar does; Dong et al., 2024).
///
/// Can be used from many threads at once.
public final class Grammar: Sendable {
  /// How far a text has come.
  public struct Cursor: Sendable, Hashable {
    fileprivate var state: Int32
    fileprivate var generation: Int
    fileprivate var bytes: [UInt8] = []
  }

  /// More states than this are forgotten at once and made anew as they are needed.
  private static let mostStates = 8_192

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
    automaton = Mutex(Automaton(places))
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
      return automaton.makeMask(state, places, tokens, mostBytes: max(room - 1, 0)).mask
    }
  }

  /// Adds a token's bytes to the text; false where they do not fit, and the text is as before.
  public func advance(_ cursor: inout Cursor, _ bytes: [UInt8]) -> Bool {
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
      return automaton.mayEnd(state) && automaton.stackCount(state) == 1
    }
  }

  /// The states met so far.
  private struct Automaton {
    private static let unknown: Int32 = -2
    private static let none: Int32 = -1

    /// A place, and the stack below it; `none` for nothing.
    private struct Stack: Hashable {
      var place: Places.Index
      var below: Int32
    }

    private struct State {
      var stacks: [Int32]
      var mayEnd: Bool
      var next: [Int32]
      var mask: WholeMask?
      var leastBytes: Int?
    }

    /// The tokens that fit, and the most bytes that are needed after one of them.
    struct WholeMask {
      var mask: TokenMask
      var mostLeft: Int
    }

    private(set) var generation = 0
    private(set) var start: Int32 = 0
    private var stacks: [Stack] = []
    private var stackNumbers: [Stack: Int32] = [:]
    private var states: [State] = []
    private var stateNumbers: [[Int32]: Int32] = [:]

    init(_ places: Places) { begin(places) }

    private mutating func begin(_ places: Places) {
      generation += 1
      stacks.removeAll()
      stackNumbers.removeAll()
      states.removeAll()
      stateNumbers.removeAll()
      var found: Set<Int32> = []
      var ends = false
      expand(places.starts[places.root], Self.none, places, &found, &ends)
      start = number(found, ends)
    }

    /// A cursor's state, made again from the text's bytes if the states were forgotten.
    mutating func state(_ cursor: inout Cursor, _ places: Places) -> Int32 {
      if states.count > Grammar.mostStates { begin(places) }
      guard cursor.generation != generation else { return cursor.state }
      var state = start
      for byte in cursor.bytes where state >= 0 { state = next(state, byte, places) }
      cursor.state = state
      cursor.generation = generation
      return state
    }

    func mayEnd(_ state: Int32) -> Bool { states[Int(state)].mayEnd }

    /// The ways in which the text may go on, its end among them.
    func stackCount(_ state: Int32) -> Int {
      states[Int(state)].stacks.count + (states[Int(state)].mayEnd ? 1 : 0)
    }

    /// Where a byte leads; negative where it does not fit.
    mutating func next(_ state: Int32, _ byte: UInt8, _ places: Places) -> Int32 {
      let known = states[Int(state)].next[Int(byte)]
      guard known == Self.unknown else { return known }
      var found: Set<Int32> = []
      var ends = false
      for number in states[Int(state)].stacks {
        let stack = stacks[Int(number)]
        guard case .byte(let range, let next) = places.steps[Int(stack.place)],
          range.contains(byte)
        else { continue }
        expand(next, stack.below, places, &found, &ends)
      }
      let reached = found.isEmpty && !ends ? Self.none : self.number(found, ends)
      states[Int(state)].next[Int(byte)] = reached
      return reached
    }

    /// Adds the stacks that a place comes to before the next byte.
    private mutating func expand(
      _ place: Places.Index, _ below: Int32, _ places: Places, _ found: inout Set<Int32>,
      _ ends: inout Bool
    ) {
      var seen: Set<Stack> = []
      var open = [Stack(place: place, below: below)]
      while let stack = open.popLast() {
        guard places.leastBytes[Int(stack.place)] < Places.unreachable,
          seen.insert(stack).inserted
        else { continue }
        switch places.steps[Int(stack.place)] {
        case .byte: found.insert(number(stack))
        case .branch(let branches):
          open += branches.map { Stack(place: $0, below: stack.below) }
        case .call(let rule, let next):
          // Nothing to come back to where the call was the last thing.
          let below =
            next == Places.end ? stack.below : number(Stack(place: next, below: stack.below))
          open.append(Stack(place: places.starts[rule], below: below))
        case .end:
          if stack.below == Self.none { ends = true } else { open.append(stacks[Int(stack.below)]) }
        }
      }
    }

    private mutating func number(_ stack: Stack) -> Int32 {
      if let known = stackNumbers[stack] { return known }
      let number = Int32(stacks.count)
      stacks.append(stack)
      stackNumbers[stack] = number
      return number
    }

    private mutating func number(_ found: Set<Int32>, _ ends: Bool) -> Int32 {
      // Whether the text may end belongs to the state, too.
      let key = found.sorted() + (ends ? [Self.none] : [])
      if let known = stateNumbers[key] { return known }
      let number = Int32(states.count)
      states.append(
        State(
          stacks: found.sorted(), mayEnd: ends,
          next: Array(repeating: Self.unknown, count: 256)))
      stateNumbers[key] = number
      return number
    }

    /// The fewest bytes with which the text can come to its end.
    mutating func leastBytes(_ state: Int32, _ places: Places) -> Int {
      if let known = states[Int(state)].leastBytes { return known }
      var least = states[Int(state)].mayEnd ? 0 : Places.unreachable
      for stack in states[Int(state)].stacks {
        var bytes = 0
        var number = stack
        while number != Self.none {
          bytes += places.leastBytes[Int(stacks[Int(number)].place)]
          number = stacks[Int(number)].below
        }
        least = min(least, bytes)
      }
      states[Int(state)].leastBytes = least
      return least
    }

    mutating func mask(_ state: Int32, _ places: Places, _ tokens: TokenTrie) -> WholeMask {
      if let known = states[Int(state)].mask { return known }
      let mask = makeMask(state, places, tokens, mostBytes: nil)
      states[Int(state)].mask = mask
      return mask
    }

    /// The tokens that fit, of these with `mostBytes` only those after which so many can be enough.
    mutating func makeMask(
      _ state: Int32, _ places: Places, _ tokens: TokenTrie, mostBytes: Int?
    ) -> WholeMask {
      var mostLeft = 0
      var words = [UInt64](repeating: 0, count: (tokens.count + 63) / 64)
      var open: [(node: Int32, state: Int32)] = [(0, state)]
      while let (index, reached) = open.popLast() {
        let node = tokens.nodes[Int(index)]
        let left = node.tokens > 0 ? leastBytes(reached, places) : 0
        if node.tokens > 0, left <= mostBytes ?? left {
          mostLeft = max(mostLeft, left)
          for place in node.firstToken..<node.firstToken + node.tokens {
            let token = Int(tokens.ends[Int(place)])
            words[token / 64] |= 1 << UInt64(token % 64)
          }
        }
        for place in node.first..<node.first + node.count {
          let edge = tokens.edges[Int(place)]
          let next = next(reached, edge.byte, places)
          if next >= 0 { open.append((edge.node, next)) }
        }
      }
      return WholeMask(
        mask: TokenMask(words: words, mayEnd: states[Int(state)].mayEnd), mostLeft: mostLeft)
    }
  }
}
