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
    try checkLeftRecursion(grammar.names)
    measure()
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
    for _ in 0..<least { place = try compile(inside, next: place) }
    return place
  }

  /// The rules that a rule may come to before its first byte, each found once.
  private mutating func checkLeftRecursion(_ names: [String]) throws(GrammarError) {
    let nullable = nullableRules()
    let reached = starts.map { leftCalls(from: $0, nullable) }
    // 0 not seen, 1 on the way, 2 done.
    var states = Array(repeating: 0, count: starts.count)
    for first in starts.indices where states[first] == 0 {
      var way: [(rule: Int, calls: [Int])] = [(first, Array(reached[first]))]
      states[first] = 1
      while var top = way.popLast() {
        guard let called = top.calls.popLast() else {
          states[top.rule] = 2
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
  }

  private func nullableRules() -> Set<Int> {
    var nullable: Set<Int> = []
    while true {
      let before = nullable.count
      for (rule, start) in starts.enumerated() where !nullable.contains(rule) {
        if reachesEnd(start, nullable) { nullable.insert(rule) }
      }
      if nullable.count == before { return nullable }
    }
  }

  private func reachesEnd(_ start: Index, _ nullable: Set<Int>) -> Bool {
    var seen: Set<Index> = []
    var open = [start]
    while let place = open.popLast() {
      guard seen.insert(place).inserted else { continue }
      switch steps[Int(place)] {
      case .byte: continue
      case .branch(let branches): open += branches
      case .call(let rule, let next): if nullable.contains(rule) { open.append(next) }
      case .end: return true
      }
    }
    return false
  }

  private func leftCalls(from start: Index, _ nullable: Set<Int>) -> Set<Int> {
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
        if nullable.contains(rule) { open.append(next) }
      }
    }
    return calls
  }

  /// Fewest bytes from each place on, by relaxation until nothing changes.
  private mutating func measure() {
    leastBytes = Array(repeating: Self.unreachable, count: steps.count)
    leastBytes[Int(Self.end)] = 0
    var changed = true
    while changed {
      changed = false
      // Places are made from the end of a rule to its beginning, so most come right at once.
      for (place, step) in steps.enumerated() {
        let least: Int
        switch step {
        case .byte(_, let next): least = 1 + leastBytes[Int(next)]
        case .branch(let branches):
          least = branches.map { leastBytes[Int($0)] }.min() ?? Self.unreachable
        case .call(let rule, let next):
          least = leastBytes[Int(starts[rule])] + leastBytes[Int(next)]
        case .end: least = 0
        }
        if least < leastBytes[place] {
          leastBytes[place] = least
          changed = true
        }
      }
    }
  }
}
