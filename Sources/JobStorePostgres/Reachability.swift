/// How long one process has reached the database without a break.
///
/// Leases run out by the clock also while nobody can renew them: because the database is away, or
/// because the machines slept. Whoever comes back first must give the others the time of a lease
/// before it takes their jobs.
package struct Reachability: Sendable {
  /// The longest time between two looks at the database that is no break.
  private let patience: Duration
  private var since: ContinuousClock.Instant?
  private var last: ContinuousClock.Instant?

  /// - Parameter interval: how often the database is looked at.
  package init(interval: Duration) {
    patience = interval + .seconds(5)
  }

  /// Notes that the database is about to be looked at.
  /// - Returns: for how long it has been reached.
  package mutating func look(at now: ContinuousClock.Instant) -> Duration {
    if let last, now - last > patience { since = nil }
    last = now
    let start = since ?? now
    since = start
    return now - start
  }

  /// Notes that it could not be reached.
  package mutating func fail() {
    since = nil
  }
}
