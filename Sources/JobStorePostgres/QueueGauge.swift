/// How many jobs wait, as far as this process knows: the last count, and what the process itself
/// has submitted since. Counting takes a while in a long queue, so it is done seldom.
///
/// A pure state machine; time is given to it. What others submit and what is claimed appears with
/// the next count, so the estimate may lag by a count's interval.
package struct QueueGauge {
  /// A count may take this share of the time at most: one part in so many.
  private static let restPerCount = 20

  package let limit: Int
  private let interval: Duration
  private var count: Int?
  private var countTime: ContinuousClock.Instant?
  private var countDuration = Duration.zero
  /// Jobs of this process so far; those on their way to the database among them.
  private var submitted = 0
  private var underWay = 0
  /// What `submitted` was when the last count began, without what was under way then.
  private var base = 0
  private var nextBase: Int?

  package init(limit: Int, interval: Duration) {
    self.limit = limit
    self.interval = interval
  }

  package var estimate: Int { (count ?? 0) + submitted - base }

  /// Takes room for new jobs, if there is any.
  package mutating func reserve(_ jobs: Int) -> Bool {
    guard estimate + jobs <= limit else { return false }
    submitted += jobs
    underWay += jobs
    return true
  }

  /// The submission that took this room has ended and stored so many jobs.
  package mutating func settle(reserved: Int, stored: Int) {
    underWay -= reserved
    submitted -= reserved - stored
  }

  /// Whether to count now. If so, `endCount` must follow; until then nobody else is told to.
  /// - Parameter isUrgent: there is no room, so a count that is not quite new is not good enough.
  package mutating func beginCount(isUrgent: Bool, now: ContinuousClock.Instant) -> Bool {
    guard nextBase == nil else { return false }
    if let countTime {
      let rest = isUrgent ? interval : max(interval, countDuration * Self.restPerCount)
      guard now - countTime >= rest, isUrgent || submitted > base else { return false }
    }
    nextBase = submitted - underWay
    return true
  }

  /// - Parameter counted: `nil` when the count failed.
  package mutating func endCount(
    _ counted: Int?, took duration: Duration, now: ContinuousClock.Instant
  ) {
    defer { nextBase = nil }
    countTime = now
    countDuration = duration
    guard let counted, let nextBase else { return }
    count = counted
    base = nextBase
  }
}
