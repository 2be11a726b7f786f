/// A sequence as the scheduler sees it: its tokens, its blocks, and how far it has come.
///
/// The first `computed` of its tokens have keys and values in its blocks, which reach no further
/// than they must; the first `published` blocks can be found by others.
struct ScheduledSequence {
  /// Where a sequence stands.
  ///
  ///     waiting ──admit──▶ running ──preempt──▶ preempted
  ///                           ▲                     │
  ///                           └────────admit────────┘
  ///
  /// It can be removed from any of them.
  enum State {
    /// New; nothing of it is computed.
    case waiting
    /// Has work in steps.
    case running
    /// Has lost its blocks to others; its tokens are there to be computed again.
    case preempted
  }

  /// The caller's name for it.
  let id: UInt64
  /// Sequences of a higher one go first.
  let priority: Int
  /// Counts arrivals: of two with the same priority the older one goes first, preempted or not.
  let arrival: UInt64
  /// Counts forks: they stand behind what they were forked from, in order; 0 for what arrived.
  let fork: UInt64
  /// What texts must have in common to share blocks.
  let salt: String?
  /// Whether it computes all its tokens, also those that others have computed.
  let computesAll: Bool
  /// Tokens of the prompt proper.
  let promptTokens: Int
  /// The most tokens that it can come to.
  let tokenLimit: Int
  /// Where it stands.
  var state = State.waiting
  /// Prompt, and output so far.
  var tokens: [Int32]
  /// The blocks of its tokens, in order; -1 in the place of one that has left the window.
  var blocks: [Int32] = []
  /// Places from the first on of which all but those of the sinks have left the window.
  var passed = 0
  /// Tokens that have keys and values.
  var computed = 0
  /// Blocks from the first on that are published.
  var published = 0
  /// Tokens that were known when it was admitted: those before are prefill, the others decode.
  var prefillEnd: Int
  /// The most tokens that ever had keys and values.
  var reached = 0
  /// Prompt tokens that it never had to compute, because others had.
  var cachedPromptTokens = 0

  /// A new sequence that may come to need `blockLimit` blocks for `tokenLimit` tokens; the memory
  /// for their numbers is reserved.
  init(_ arriving: Scheduler.Arrival, arrival: UInt64, blockLimit: Int) {
    id = arriving.sequence
    priority = arriving.priority
    self.arrival = arrival
    fork = 0
    salt = arriving.salt
    computesAll = arriving.computesAll
    promptTokens = arriving.promptTokens
    tokenLimit = arriving.tokenLimit
    tokens = arriving.tokens
    prefillEnd = arriving.tokens.count
    tokens.reserveCapacity(arriving.tokenLimit)
    blocks.reserveCapacity(blockLimit)
  }

  /// A copy of the first `count` tokens of another one that has no blocks yet.
  init(_ other: ScheduledSequence, id: UInt64, fork: UInt64, count: Int, blockLimit: Int) {
    self.id = id
    self.fork = fork
    priority = other.priority
    arrival = other.arrival
    salt = other.salt
    computesAll = other.computesAll
    promptTokens = other.promptTokens
    tokenLimit = other.tokenLimit
    state = .preempted
    tokens = Array(other.tokens.prefix(count))
    prefillEnd = other.prefillEnd
    reached = min(other.reached, count)
    cachedPromptTokens = other.cachedPromptTokens
    tokens.reserveCapacity(tokenLimit)
    blocks.reserveCapacity(blockLimit)
  }

  /// Tokens still to compute before the next one can be chosen; none where all are and the next one
  /// is still to be appended.
  var pending: Int { tokens.count - computed }
  /// The blocks that it has.
  var heldBlocks: [Int32] { passed == 0 ? blocks : blocks.filter { $0 >= 0 } }
  /// Whether it has work in steps.
  var isRunning: Bool { state == .running }

  /// Whether it goes before another one where not all can.
  func precedes(_ other: ScheduledSequence) -> Bool {
    (-priority, arrival, fork) < (-other.priority, other.arrival, other.fork)
  }

  /// Notes that the first `count` tokens were computed.
  mutating func advance(to count: Int) {
    computed = count
    reached = max(reached, count)
  }

  /// Counts tokens that were found where others had computed them. What the sequence itself
  /// computed before it was preempted does not count.
  mutating func credit(found: Range<Int>) {
    cachedPromptTokens += max(
      0, min(found.upperBound, promptTokens) - max(found.lowerBound, reached))
    reached = max(reached, found.upperBound)
  }
}
