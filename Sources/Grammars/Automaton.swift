/// The states that texts of a grammar were in so far, under numbers, each with where every byte leads
/// and which tokens fit.
///
/// A text so far may be at several places of rules at once, each with a frame: the places to go on
/// from when the rule ends, each with a frame of its own. Frames are sets, so that ways to the same
/// rule are one way from there on (a graph-structured stack; Tomita, 1985): without that, their number
/// could double with every byte. A state is such a set of places with frames. That states are kept
/// with what follows from them is as in XGrammar (Dong et al., 2024).
struct Automaton {
  /// When states take so much more memory than the last time, all are forgotten, and made anew as
  /// they are needed.
  private static let mostBytes = 16 << 20
  private static let unknown: Int32 = -2
  private static let none: Int32 = -1

  /// A place, and the frame of its rule; `none` below the root.
  private struct Stack: Hashable, Comparable {
    var place: Places.Index
    var frame: Int32

    static func < (one: Stack, other: Stack) -> Bool {
      (one.place, one.frame) < (other.place, other.frame)
    }
  }

  private struct Frame {
    var stacks: [Stack]
    /// The fewest bytes from here to the end of the text.
    var leastBytes: Int
  }

  private struct State {
    var stacks: [Stack]
    var mayEnd: Bool
    var leastBytes: Int
    var next: [Int32]
    var mask: WholeMask?
  }

  /// The tokens that fit, and the most bytes that are needed after one of them.
  struct WholeMask {
    var mask: TokenMask
    var mostLeft: Int
  }

  /// What tells a state or a frame from others.
  private struct Key: Hashable {
    var stacks: [Stack]
    var mayEnd = false
  }

  /// Counts how often everything was forgotten.
  private(set) var generation = 0
  private(set) var start: Int32 = 0
  private var frames: [Frame] = []
  private var frameNumbers: [Key: Int32] = [:]
  private var states: [State] = []
  private var stateNumbers: [Key: Int32] = [:]
  private var bytes = 0
  private var limit = Self.mostBytes

  init(_ places: Places) { begin(places) }

  private mutating func begin(_ places: Places) {
    generation += 1
    frames.removeAll()
    frameNumbers.removeAll()
    states.removeAll()
    stateNumbers.removeAll()
    bytes = 0
    start = close([Stack(place: places.starts[places.root], frame: Self.none)], places)
    limit = bytes + Self.mostBytes
  }

  /// A cursor's state, made again from the text's bytes if the states were forgotten.
  mutating func state(_ cursor: inout Grammar.Cursor, _ places: Places) -> Int32 {
    if bytes > limit { begin(places) }
    guard cursor.generation != generation else { return cursor.state }
    let before = bytes
    var state = start
    for byte in cursor.bytes where state >= 0 { state = next(state, byte, places) }
    // What a text needs to be read again is no reason to forget it at once.
    limit += bytes - before
    cursor.state = state
    cursor.generation = generation
    return state
  }

  /// Whether the text is whole and nothing can follow.
  func isComplete(_ state: Int32) -> Bool {
    states[Int(state)].mayEnd && states[Int(state)].stacks.isEmpty
  }

  /// Where a byte leads; negative where it does not fit.
  mutating func next(_ state: Int32, _ byte: UInt8, _ places: Places) -> Int32 {
    let known = states[Int(state)].next[Int(byte)]
    guard known == Self.unknown else { return known }
    let after = states[Int(state)].stacks.compactMap { stack -> Stack? in
      guard case .byte(let range, let next) = places.steps[Int(stack.place)],
        range.contains(byte)
      else { return nil }
      return Stack(place: next, frame: stack.frame)
    }
    let reached = after.isEmpty ? Self.none : close(after, places)
    states[Int(state)].next[Int(byte)] = reached
    return reached
  }

  /// The state of all that some places come to before the next byte.
  ///
  /// Rules that are called on the way are entered one after the other, each once, in an order in
  /// which those that call it have been before, so that its frame holds all of them. One that may be
  /// empty is also passed by at its call, and its end is not looked at when it is entered.
  private mutating func close(_ first: [Stack], _ places: Places) -> Int32 {
    var found: Set<Stack> = []
    var mayEnd = false
    var calls: [Int: Set<Stack>] = [:]
    var seen: Set<Stack> = []
    var open = first
    var isEntered = false
    while true {
      while let stack = open.popLast() {
        guard places.leastBytes[Int(stack.place)] < Places.unreachable,
          seen.insert(stack).inserted
        else { continue }
        switch places.steps[Int(stack.place)] {
        case .byte: found.insert(stack)
        case .branch(let branches):
          open += branches.map { Stack(place: $0, frame: stack.frame) }
        case .call(let rule, let next):
          calls[rule, default: []].formUnion(continuation(next, stack.frame))
          if places.leastBytes[Int(places.starts[rule])] == 0 {
            open.append(Stack(place: next, frame: stack.frame))
          }
        case .end:
          guard !isEntered else { continue }
          if stack.frame == Self.none {
            mayEnd = true
          } else {
            open += frames[Int(stack.frame)].stacks
          }
        }
      }
      guard let rule = calls.keys.min(by: { places.ranks[$0] < places.ranks[$1] }),
        let stacks = calls.removeValue(forKey: rule)
      else { break }
      isEntered = true
      open.append(Stack(place: places.starts[rule], frame: frame(stacks, places)))
    }
    return number(found, mayEnd, places)
  }

  /// Where to go on behind a call: where nothing is left of the calling rule, behind that one's call.
  private func continuation(_ next: Places.Index, _ frame: Int32) -> [Stack] {
    next == Places.end && frame != Self.none
      ? frames[Int(frame)].stacks : [Stack(place: next, frame: frame)]
  }

  private func leastBytes(_ stack: Stack, _ places: Places) -> Int {
    let behind = stack.frame == Self.none ? 0 : frames[Int(stack.frame)].leastBytes
    return min(places.leastBytes[Int(stack.place)] + behind, Places.unreachable)
  }

  private mutating func frame(_ stacks: Set<Stack>, _ places: Places) -> Int32 {
    let key = Key(stacks: stacks.sorted())
    if let known = frameNumbers[key] { return known }
    let number = Int32(frames.count)
    let least = key.stacks.reduce(Places.unreachable) { min($0, leastBytes($1, places)) }
    frames.append(Frame(stacks: key.stacks, leastBytes: least))
    frameNumbers[key] = number
    bytes += 64 + 16 * key.stacks.count
    return number
  }

  private mutating func number(
    _ found: Set<Stack>, _ mayEnd: Bool, _ places: Places
  ) -> Int32 {
    let key = Key(stacks: found.sorted(), mayEnd: mayEnd)
    if let known = stateNumbers[key] { return known }
    let number = Int32(states.count)
    let least = key.stacks.reduce(mayEnd ? 0 : Places.unreachable) {
      min($0, leastBytes($1, places))
    }
    states.append(
      State(
        stacks: key.stacks, mayEnd: mayEnd, leastBytes: least,
        next: Array(repeating: Self.unknown, count: 256)))
    stateNumbers[key] = number
    bytes += 4 * 256 + 128 + 16 * key.stacks.count
    return number
  }

  // MARK: Masks

  /// All tokens that fit.
  mutating func mask(_ state: Int32, _ places: Places, _ tokens: TokenTrie) -> WholeMask {
    if let known = states[Int(state)].mask { return known }
    let mask = makeMask(state, places, tokens, mostBytes: nil)
    states[Int(state)].mask = mask
    bytes += 8 * mask.mask.words.count
    return mask
  }

  /// The tokens that fit, of these with `mostBytes` only those after which so many can be enough.
  mutating func makeMask(
    _ state: Int32, _ places: Places, _ tokens: TokenTrie, mostBytes: Int?
  ) -> WholeMask {
    let mark = Mark(states: states.count, frames: frames.count, bytes: bytes)
    var words = [UInt64](repeating: 0, count: (tokens.count + 63) / 64)
    var mostLeft = 0
    let root = tokens.nodes[0]
    for first in root.first..<root.first + root.count {
      let next = next(state, tokens.edges[Int(first)].byte, places)
      var open = next < 0 ? [] : [(node: tokens.edges[Int(first)].node, state: next)]
      while let (index, reached) = open.popLast() {
        let node = tokens.nodes[Int(index)]
        let left = states[Int(reached)].leastBytes
        if node.tokens > 0, left <= mostBytes ?? left {
          mostLeft = max(mostLeft, left)
          for place in node.firstToken..<node.firstToken + node.tokens {
            let token = Int(tokens.ends[Int(place)])
            words[token / 64] |= 1 << UInt64(token % 64)
          }
        }
        for place in node.first..<node.first + node.count {
          let edge = tokens.edges[Int(place)]
          let next = self.next(reached, edge.byte, places)
          if next >= 0 { open.append((edge.node, next)) }
        }
      }
      // Some grammars have a state of their own for every text.
      if bytes - mark.bytes > Self.mostBytes { forget(after: mark) }
    }
    return WholeMask(
      mask: TokenMask(words: words, mayEnd: states[Int(state)].mayEnd), mostLeft: mostLeft)
  }

  private struct Mark {
    var states: Int
    var frames: Int
    var bytes: Int
  }

  /// Forgets the states and frames that came after a mark.
  private mutating func forget(after mark: Mark) {
    states.removeLast(states.count - mark.states)
    frames.removeLast(frames.count - mark.frames)
    stateNumbers = stateNumbers.filter { $0.value < Int32(mark.states) }
    frameNumbers = frameNumbers.filter { $0.value < Int32(mark.frames) }
    for state in states.indices {
      for byte in 0..<256 where states[state].next[byte] >= Int32(mark.states) {
        states[state].next[byte] = Self.unknown
      }
    }
    bytes = mark.bytes
  }
}
