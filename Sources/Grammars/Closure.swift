/// A place, and the frame of its rule, below 0 for that of the whole text.
struct Stack: Hashable, Comparable {
  var place: Places.Index
  var frame: Int32

  static func < (one: Stack, other: Stack) -> Bool {
    (one.place, one.frame) < (other.place, other.frame)
  }
}

/// Places with frames, each once.
struct StackSet {
  /// Up to so many are looked through; more are found by their hash.
  private static let few = 16
  private(set) var items: [Stack] = []
  private var hashed: Set<Stack> = []

  /// Adds one; false where it is there.
  @discardableResult
  mutating func insert(_ stack: Stack) -> Bool {
    if items.count < Self.few {
      guard !items.contains(stack) else { return false }
    } else {
      if hashed.isEmpty { hashed = Set(items) }
      guard hashed.insert(stack).inserted else { return false }
    }
    items.append(stack)
    return true
  }

  mutating func removeAll() {
    items.removeAll(keepingCapacity: true)
    if !hashed.isEmpty { hashed.removeAll() }
  }
}

/// What is found on the way to the next byte. It is kept from one time to the next for its memory; each
/// time all calls are taken from it.
struct Closure {
  /// To be looked at.
  var open: [Stack] = []
  /// All that have been looked at.
  var seen = StackSet()
  /// Those before a byte.
  var found: [Stack] = []
  /// Whether the text may end.
  var mayEnd = false
  /// Rules to be entered, with where to go on behind them.
  private var calls: [Int: StackSet] = [:]
  private var callers = 0

  /// How much was found, calls and their callers included.
  var size: Int { seen.items.count + callers }

  mutating func begin() {
    open.removeAll(keepingCapacity: true)
    seen.removeAll()
    found.removeAll(keepingCapacity: true)
    callers = 0
    mayEnd = false
  }

  mutating func addCall(_ rule: Int, behind stacks: [Stack]) {
    var known = calls.removeValue(forKey: rule) ?? StackSet()
    for stack in stacks where known.insert(stack) { callers += 1 }
    calls[rule] = known
  }

  /// The call of the lowest rank.
  mutating func takeCall(_ ranks: [Int]) -> (rule: Int, stacks: StackSet)? {
    guard !calls.isEmpty, let rule = calls.keys.min(by: { ranks[$0] < ranks[$1] }),
      let stacks = calls.removeValue(forKey: rule)
    else { return nil }
    return (rule, stacks)
  }
}
