/// The states that texts of a grammar were in so far, under numbers, each with where bytes lead from
/// it and which tokens fit.
///
/// A text so far may be at several places of rules at once, each with a frame: the places to go on
/// from when the rule ends, each with a frame of its own. Frames are sets, so that ways to the same
/// rule are one way from there on (a graph-structured stack; Tomita, 1985): without that, their number
/// could double with every byte. A state is such a set of places with frames. That states are kept
/// with what follows from them is as in XGrammar (Dong et al., 2024).
struct Automaton {
  /// When states take so much more memory than when all were last forgotten, they are forgotten again,
  /// and made anew as they are needed; so are those that a single mask brings.
  static let keptBytesLimit = 16 << 20
  /// Where a byte leads to more places than so many, no others are looked for that lead to the same.
  private static let mostCommonPlaces = 32
  private static let unknown: Int32 = -2
  private static let none: Int32 = -1

  private struct Frame {
    var stacks: [Stack]
    /// The fewest bytes from here to the end of the text.
    var leastBytes: Int
  }

  struct State {
    var stacks: [Stack]
    var mayEnd: Bool
    /// The fewest bytes from here to the end of the text.
    var leastBytes: Int
    /// Its number in `transitions`; below 0 as long as no byte has been tried.
    var transitions: Int32 = -1
    var mask: WholeMask?
  }

  /// Where bytes lead from a state.
  ///
  /// Inside a string nearly every byte leads back to the same state. Where a string's length is limited,
  /// each character leads to another state, but again from there nearly every byte to one and the same.
  /// Tokens of such bytes alone need not be tried byte by byte: only their length matters.
  private struct Transitions {
    /// All bytes that lead anywhere.
    var fitting = ByteSet()
    /// The bytes at which another range of bytes begins that lead to the same state.
    var ranges = ByteSet()
    /// Where the states that they lead to begin in `targets`.
    var firstTarget: Int
    /// Bytes that all lead to the same state.
    var common = ByteSet()
    /// That state, when one of them has been tried.
    var commonNext = Automaton.unknown
    /// As far as is known, so many bytes of `common` may follow one another, whichever they are, to
    /// `runEnd`; `.max` where that leads to itself.
    var knownRun = 0
    var runEnd: Int32
    /// The most bytes that are needed to the end of the text from any state of the run.
    var runLeft: Int
  }

  /// What tells a state or a frame from others.
  private struct Key: Hashable {
    var stacks: [Stack]
    var mayEnd = false

    func hash(into hasher: inout Hasher) {
      stacks.withUnsafeBytes { hasher.combine(bytes: $0) }
      hasher.combine(mayEnd)
    }
  }

  /// Counts how often everything was forgotten.
  private(set) var generation = 0
  private(set) var start: Int32 = 0
  private var frames: [Frame] = []
  private var frameNumbers: [Key: Int32] = [:]
  private(set) var states: [State] = []
  private var stateNumbers: [Key: Int32] = [:]
  private var transitions: [Transitions] = []
  /// For each range of bytes of each of `transitions` the state that they lead to.
  private var targets: [Int32] = []
  private var keptBytes = 0
  private var limit = Self.keptBytesLimit
  private var closure = Closure()

  init(_ places: Places) { begin(places) }

  private mutating func begin(_ places: Places) {
    generation += 1
    frames.removeAll()
    frameNumbers.removeAll()
    states.removeAll()
    stateNumbers.removeAll()
    transitions.removeAll()
    targets.removeAll()
    keptBytes = 0
    closure = Closure()
    closure.open = [Stack(place: places.starts[places.root], frame: Self.none)]
    start = close(places)
    limit = bytes + Self.keptBytesLimit
  }

  /// What all this takes of memory.
  var bytes: Int {
    keptBytes + MemoryLayout<Transitions>.stride * transitions.count + 4 * targets.count
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

  // MARK: Bytes

  /// Where a byte leads; negative where it does not fit.
  mutating func next(_ state: Int32, _ byte: UInt8, _ places: Places) -> Int32 {
    let index = transitionsIndex(of: state, places)
    let target = transitions[index].firstTarget + transitions[index].ranges.count(upTo: byte) - 1
    let known = targets[target]
    guard known == Self.unknown else { return known }
    let isCommon = transitions[index].common.contains(byte)
    if isCommon, transitions[index].commonNext != Self.unknown {
      targets[target] = transitions[index].commonNext
      return transitions[index].commonNext
    }
    closure.begin()
    for stack in states[Int(state)].stacks {
      guard case .byte(let range, let next) = places.steps[Int(stack.place)],
        range.contains(byte)
      else { continue }
      closure.open.append(Stack(place: next, frame: stack.frame))
    }
    let reached = close(places)
    targets[target] = reached
    if isCommon { transitions[index].commonNext = reached }
    return reached
  }

  /// The bytes that may follow.
  mutating func fitting(_ state: Int32, _ places: Places) -> ByteSet {
    transitions[transitionsIndex(of: state, places)].fitting
  }

  /// A count of at most `most` such that all strings of up to so many of `bytes` may follow and, where
  /// it is less than `most`, no longer ones; and an upper bound of what is left to the end of the text
  /// behind any of them. Nil where that is not known without trying them one by one.
  mutating func run(
    of bytes: ByteSet, most: Int, from state: Int32, _ places: Places
  ) -> (count: Int, left: Int)? {
    let index = transitionsIndex(of: state, places)
    let common = transitions[index].common
    guard bytes.isSubset(of: common), let byte = common.first else { return nil }
    while transitions[index].knownRun < most {
      let end = transitions[index].runEnd
      let last = transitionsIndex(of: end, places)
      guard common.isSubset(of: transitions[last].common) else {
        guard bytes.isDisjoint(with: transitions[last].fitting) else { return nil }
        return (transitions[index].knownRun, transitions[index].runLeft)
      }
      let next = next(end, byte, places)
      // Too many places at once.
      guard next >= 0 else { return nil }
      transitions[index].knownRun = next == end ? .max : transitions[index].knownRun + 1
      transitions[index].runEnd = next
      transitions[index].runLeft = max(
        transitions[index].runLeft, states[Int(next)].leastBytes)
    }
    return (most, transitions[index].runLeft)
  }

  /// The number of a state's transitions.
  private mutating func transitionsIndex(of state: Int32, _ places: Places) -> Int {
    let known = states[Int(state)].transitions
    return known >= 0 ? Int(known) : makeTransitions(state, places)
  }

  private mutating func makeTransitions(_ state: Int32, _ places: Places) -> Int {
    var made = Transitions(
      firstTarget: targets.count, runEnd: state, runLeft: states[Int(state)].leastBytes)
    made.ranges.insert(0...0)
    var widest: ClosedRange<UInt8> = 0...0
    for stack in states[Int(state)].stacks {
      guard case .byte(let range, _) = places.steps[Int(stack.place)] else { continue }
      made.fitting.insert(range)
      made.ranges.insert(range.lowerBound...range.lowerBound)
      if range.upperBound < 255 { made.ranges.insert(range.upperBound + 1...range.upperBound + 1) }
      if range.count > widest.count { widest = range }
    }
    for byte in made.ranges.bytes {
      targets.append(made.fitting.contains(byte) ? Self.unknown : Self.none)
    }
    if widest.count > 1 {
      let middle = UInt8((Int(widest.lowerBound) + Int(widest.upperBound)) / 2)
      made.common = bytesLike(middle, states[Int(state)].stacks, places)
    }
    let index = transitions.count
    transitions.append(made)
    states[Int(state)].transitions = Int32(index)
    return index
  }

  /// The bytes that lead from some places to the same ones as a byte; none where these are many.
  private func bytesLike(_ byte: UInt8, _ stacks: [Stack], _ places: Places) -> ByteSet {
    var all = ByteSet()
    all.insert(0...255)
    var like: [(target: Stack, bytes: ByteSet)] = []
    for stack in stacks {
      guard case .byte(let range, let next) = places.steps[Int(stack.place)],
        range.contains(byte)
      else { continue }
      like.append((Stack(place: next, frame: stack.frame), ByteSet()))
      guard like.count <= Self.mostCommonPlaces else { return ByteSet() }
    }
    var others = ByteSet()
    for stack in stacks {
      guard case .byte(let range, let next) = places.steps[Int(stack.place)] else { continue }
      let target = Stack(place: next, frame: stack.frame)
      let known = like.indices.filter { like[$0].target == target }
      for index in known { like[index].bytes.insert(range) }
      if known.isEmpty { others.insert(range) }
    }
    for (_, bytes) in like { all.formIntersection(bytes) }
    all.subtract(others)
    return all
  }

  // MARK: States

  /// The state of all that the places of `closure` come to before the next byte; `none` if there are
  /// none, or too many.
  ///
  /// Rules that are called on the way are entered one after the other, each once, in an order in
  /// which those that call it have been before, so that its frame holds all of them. One that may be
  /// empty is also passed by at its call, and its end is not looked at when it is entered.
  private mutating func close(_ places: Places) -> Int32 {
    guard !closure.open.isEmpty else { return Self.none }
    var isEntered = false
    while true {
      while let stack = closure.open.popLast() {
        guard places.leastBytes[Int(stack.place)] < Places.unreachable,
          closure.seen.insert(stack)
        else { continue }
        guard closure.size <= GrammarLimits.placesAtOnce else {
          closure = Closure()
          return Self.none
        }
        switch places.steps[Int(stack.place)] {
        case .byte: closure.found.append(stack)
        case .branch(let branches):
          for place in branches {
            closure.open.append(Stack(place: place, frame: stack.frame))
          }
        case .call(let rule, let next):
          addCall(rule, behind: Stack(place: next, frame: stack.frame))
          if places.leastBytes[Int(places.starts[rule])] == 0 {
            closure.open.append(Stack(place: next, frame: stack.frame))
          }
        case .end:
          guard !isEntered else { continue }
          if stack.frame == Self.none {
            closure.mayEnd = true
          } else {
            closure.open += frames[Int(stack.frame)].stacks
          }
        }
      }
      guard let call = closure.takeCall(places.ranks) else { break }
      isEntered = true
      closure.open.append(
        Stack(place: places.starts[call.rule], frame: frame(call.stacks.items, places)))
    }
    return number(places)
  }

  /// Notes a rule's call with where to go on behind it: where nothing is left of the calling rule,
  /// behind that one's call.
  private mutating func addCall(_ rule: Int, behind stack: Stack) {
    let isLast = stack.place == Places.end && stack.frame != Self.none
    closure.addCall(rule, behind: isLast ? frames[Int(stack.frame)].stacks : [stack])
  }

  private func leastBytes(_ stack: Stack, _ places: Places) -> Int {
    let behind = stack.frame == Self.none ? 0 : frames[Int(stack.frame)].leastBytes
    return min(places.leastBytes[Int(stack.place)] + behind, Places.unreachable)
  }

  private mutating func frame(_ stacks: [Stack], _ places: Places) -> Int32 {
    let key = Key(stacks: stacks.sorted())
    if let known = frameNumbers[key] { return known }
    let number = Int32(frames.count)
    let least = key.stacks.reduce(Places.unreachable) { min($0, leastBytes($1, places)) }
    frames.append(Frame(stacks: key.stacks, leastBytes: least))
    frameNumbers[key] = number
    keptBytes += 64 + 16 * key.stacks.count
    return number
  }

  private mutating func number(_ places: Places) -> Int32 {
    let key = Key(stacks: closure.found.sorted(), mayEnd: closure.mayEnd)
    if let known = stateNumbers[key] { return known }
    let number = Int32(states.count)
    let least = key.stacks.reduce(key.mayEnd ? 0 : Places.unreachable) {
      min($0, leastBytes($1, places))
    }
    states.append(State(stacks: key.stacks, mayEnd: key.mayEnd, leastBytes: least))
    stateNumbers[key] = number
    keptBytes += 128 + 16 * key.stacks.count
    return number
  }

  /// Keeps a state's mask.
  mutating func keep(_ mask: WholeMask, of state: Int32) {
    states[Int(state)].mask = mask
    keptBytes += 8 * mask.mask.words.count
  }

  // MARK: Forgetting

  /// How much there was at a time.
  struct Mark {
    fileprivate var states: Int
    fileprivate var frames: Int
    fileprivate var keptBytes: Int
  }

  var mark: Mark { Mark(states: states.count, frames: frames.count, keptBytes: keptBytes) }

  /// Forgets the states and frames that came after a mark, and where bytes lead.
  mutating func forget(after mark: Mark) {
    states.removeLast(states.count - mark.states)
    frames.removeLast(frames.count - mark.frames)
    stateNumbers = stateNumbers.filter { $0.value < Int32(mark.states) }
    frameNumbers = frameNumbers.filter { $0.value < Int32(mark.frames) }
    for state in states.indices { states[state].transitions = -1 }
    transitions.removeAll()
    targets.removeAll()
    closure = Closure()
    keptBytes = mark.keptBytes
  }
}
