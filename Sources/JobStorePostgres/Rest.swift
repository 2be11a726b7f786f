/// A pause in something that is done often, after it took too long.
///
/// A pure state machine; time is given to it.
package struct Rest: Sendable {
  private var end: ContinuousClock.Instant?

  package init() {}

  package func isOver(at now: ContinuousClock.Instant) -> Bool {
    end.map { $0 <= now } ?? true
  }

  package mutating func begin(for duration: Duration, at now: ContinuousClock.Instant) {
    end = now + duration
  }
}
