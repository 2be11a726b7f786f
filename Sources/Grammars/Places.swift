/// A grammar as places between bytes: from each place a byte of a range leads to the next one, or
/// it branches, or calls a rule and goes on behind it.
struct Places {
  typealias Index = Int32

  enum Step: Hashable {
    /// A byte of this range, then on.
    case byte(ClosedRange<UInt8>, next: Index)
    /// On from any of these.
    case branch([Index])
    /// Through a rule, then on.
    case call(rule: Int, next: Index)
    /// The end of a rule.
    case end
  }

  /// The end of every rule.
  static let end: Index = 0

  private(set) var steps: [Step] = [.end]
  /// Where each rule begins.
  private(set) var starts: [Index]
  /// The rule for the whole text.
  let root: Int
  /// The rules' places in an order in which each comes before all that it can begin with.
  private(set) var ranks: [Int] = []
  /// For each place the fewest bytes to the end of its rule; `unreachable` where there is none.
  private(set) var leastBytes: [Int] = []

  static let unreachable = Int.max / 4

  /// Compiles rules; throws where there are too many places, where a rule begins with itself, or
  /// where no text is to be had.
  init(_ grammar: GrammarRules) throws(GrammarError) {
    root = grammar.root
    starts = Array(repeating: 0, count: grammar.rules.count)
    for (number, rule) in grammar.rules.enumerated() {
      starts[number] = try compile(rule, next: Self.end)
    }
    measure()
    ranks = try leftOrder(grammar.names)
    guard leastBytes[Int(starts[root])] < Self.unreachable else {
      throw GrammarError("no text fits: \(grammar.names[root]) never comes to an end")
    }
  }

  private mutating func add(_ step: Step) throws(GrammarError) -> Index {
    guard steps.count < GrammarLimits.places else {
      throw GrammarError(
        "the grammar is too large: it needs more than \(GrammarLimits.places) places; "
          + "use smaller numbers of repetitions")
    }
    steps.append(step)
    return Index(steps.count - 1)
  }

  private mutating func compile(
    _ expression: GrammarExpression, next: Index
  ) throws(GrammarError) -> Index {
    switch expression {
    case .literal(let bytes):
      var place = next
      for byte in bytes.reversed() { place = try add(.byte(byte...byte, next: place)) }
      return place
    case .characters(let ranges):
      var branches: [Index] = []
      for string in CharacterRanges.encoded(ranges) {
        var place = next
        for range in string.reversed() { place = try add(.byte(range, next: place)) }
        branches.append(place)
      }
      return try branch(branches)
    case .rule(let number):
      return try add(.call(rule: number, next: next))
    case .sequence(let parts):
      var place = next
      for part in parts.reversed() { place = try compile(part, next: place) }
      return place
    case .choice(let alternatives):
      var branches: [Index] = []
      for alternative in alternatives { branches.append(try compile(alternative, next: next)) }
      return try branch(branches)
    case .repeated(let inside, let least, let most):
      return try compileRepeated(inside, least: least, most: most, next: next)
    }
  }

  private mutating func branch(_ branches: [Index]) throws(GrammarError) -> Index {
    branches.count == 1 ? branches[0] : try add(.branch(branches))
  }

  private mutating func compileRepeated(
    _ inside: GrammarExpression, least: Int, most: Int?, next: Index
  ) throws(GrammarError) -> Index {
    var place = next
    if let most {
      for _ in 0..<max(most - least, 0) {
        let once = try compile(inside, next: place)
        place = try add(.branch([once, next]))
      }
    } else {
      let loop = try add(.end)
      let once = try compile(inside, next: loop)
      steps[Int(loop)] = .branch([once, next])
      place = loop
    }
    for _ in 0..<least {
      let once = try compile(inside, next: place)
      // What adds nothing adds nothing a thousand times either.
      if once == place { break }
      place = once
    }
    return place
  }

  /// Ranks of the rules by which others they may come to before their first byte; throws where a
  /// rule comes to itself.
  private func leftOrder(_ names: [String]) throws(GrammarError) -> [Int] {
    let reached = starts.map(leftCalls)
    // 0 not seen, 1 on the way, 2 done.
    var states = Array(repeating: 0, count: starts.count)
    var ranks = states
    var left = starts.count
    for first in starts.indices where states[first] == 0 {
      var way: [(rule: Int, calls: [Int])] = [(first, Array(reached[first]))]
      states[first] = 1
      while var top = way.popLast() {
        guard let called = top.calls.popLast() else {
          states[top.rule] = 2
          left -= 1
          ranks[top.rule] = left
          continue
        }
        way.append(top)
        guard states[called] != 1 else {
          throw GrammarError(
            "the rule \(names[called]) can begin with itself; write it so that something comes first"
          )
        }
        if states[called] == 0 {
          states[called] = 1
          way.append((called, Array(reached[called])))
        }
      }
    }
    return ranks
  }

  private func leftCalls(from start: Index) -> Set<Int> {
    var calls: Set<Int> = []
    var seen: Set<Index> = []
    var open = [start]
    while let place = open.popLast() {
      guard seen.insert(place).inserted else { continue }
      switch steps[Int(place)] {
      case .byte, .end: continue
      case .branch(let branches): open += branches
      case .call(let rule, let next):
        calls.insert(rule)
        if leastBytes[Int(starts[rule])] == 0 { open.append(next) }
      }
    }
    return calls
  }

  /// Fewest bytes from each place on: the places in the order of their numbers, each found from those
  /// that are known (Knuth, "A generalization of Dijkstra's algorithm", 1977).
  private mutating func measure() {
    leastBytes = Array(repeating: Self.unreachable, count: steps.count)
    var users: [[Index]] = Array(repeating: [], count: steps.count)
    for (place, step) in steps.enumerated() {
      for other in needs(step) { users[Int(other)].append(Index(place)) }
    }
    var isKnown = Array(repeating: false, count: steps.count)
    var open = PlaceHeap()
    open.insert(Self.end, 0)
    while let (place, bytes) = open.removeLeast() {
      guard !isKnown[Int(place)] else { continue }
      isKnown[Int(place)] = true
      leastBytes[Int(place)] = bytes
      for user in users[Int(place)] where !isKnown[Int(user)] {
        let least = leastBytes(through: steps[Int(user)])
        if least < Self.unreachable { open.insert(user, least) }
      }
    }
  }

  private func needs(_ step: Step) -> [Index] {
    switch step {
    case .byte(_, let next): [next]
    case .branch(let branches): branches
    case .call(let rule, let next): [starts[rule], next]
    case .end: []
    }
  }

  private func leastBytes(through step: Step) -> Int {
    switch step {
    case .byte(_, let next): 1 + leastBytes[Int(next)]
    case .branch(let branches):
      branches.reduce(Self.unreachable) { min($0, leastBytes[Int($1)]) }
    case .call(let rule, let next):
      min(leastBytes[Int(starts[rule])] + leastBytes[Int(next)], Self.unreachable)
    case .end: 0
    }
  }
}

/// Places by their numbers of bytes, the least first: a binary heap.
private struct PlaceHeap {
  private var items: [(place: Places.Index, bytes: Int)] = []

  mutating func insert(_ place: Places.Index, _ bytes: Int) {
    var index = items.count
    items.append((place, bytes))
    while index > 0, items[(index - 1) / 2].bytes > items[index].bytes {
      items.swapAt(index, (index - 1) / 2)
      index = (index - 1) / 2
    }
  }

  mutating func removeLeast() -> (place: Places.Index, bytes: Int)? {
    guard let least = items.first, let last = items.popLast() else { return nil }
    guard !items.isEmpty else { return least }
    items[0] = last
    var index = 0
    while true {
      var smallest = index
      for child in [2 * index + 1, 2 * index + 2]
      where child < items.count && items[child].bytes < items[smallest].bytes {
        smallest = child
      }
      guard smallest != index else { return least }
      items.swapAt(index, smallest)
      index = smallest
    }
  }
}
