/// Decides what a pool does, and does none of it: every event returns the actions to carry out.
///
/// A connection's way:
///
///     opening ──opened──▶ idle ◀──release, checked──┬──────────┐
///        │                 │ └──tick──▶ checking ───┘          │
///     openFailed           └────lease──────────────▶ leased ───┘
///        ▼                                             │ unusable
///      (gone) ◀────────────────────────────────────────┘
///
/// Time is given to every event, so that tests need none.
package struct PoolStateMachine {
  package struct ConnectionID: Hashable, Comparable {
    package var number: Int

    package init(number: Int) {
      self.number = number
    }

    package static func < (lhs: Self, rhs: Self) -> Bool { lhs.number < rhs.number }
  }

  package struct WaiterID: Hashable {
    package var number: Int

    package init(number: Int) {
      self.number = number
    }
  }

  package enum Rejection: Hashable {
    case tooManyWaiters, unavailable, closed
  }

  package enum Action: Hashable {
    case open(ConnectionID, after: Duration)
    case grant(WaiterID, ConnectionID)
    case reject(WaiterID, Rejection)
    /// Try the connection out and report with `checked`.
    case check(ConnectionID)
    case close(ConnectionID)
    /// The pool is shut down and every connection is gone.
    case finished
  }

  private enum Slot: Hashable {
    case opening
    case idle(since: ContinuousClock.Instant)
    case checking
    case leased
  }

  package let configuration: PoolConfiguration
  private var slots: [ConnectionID: Slot] = [:]
  /// Idle connections, the one used last at the end: it is the next to be used.
  private var idle: [ConnectionID] = []
  private var waiters: [WaiterID] = []
  private var lastID = 0
  private var failures = 0
  private var nextAttempt: ContinuousClock.Instant?
  private var isShuttingDown = false
  private var isFinished = false

  package init(_ configuration: PoolConfiguration) {
    self.configuration = configuration
  }

  package var connectionCount: Int { slots.count }
  package var idleCount: Int { idle.count }
  package var waiterCount: Int { waiters.count }

  package mutating func start(now: ContinuousClock.Instant) -> [Action] {
    openMissing(now: now)
  }

  /// Someone wants a connection.
  package mutating func lease(_ waiter: WaiterID, now: ContinuousClock.Instant) -> [Action] {
    if isShuttingDown { return [.reject(waiter, .closed)] }
    if let id = idle.popLast() {
      slots[id] = .leased
      return [.grant(waiter, id)]
    }
    guard waiters.count < configuration.maxWaiters else {
      return [.reject(waiter, .tooManyWaiters)]
    }
    waiters.append(waiter)
    return openMissing(now: now)
  }

  /// Someone does not wait any longer.
  /// - Returns: whether they were still waiting, so that nothing else will answer them.
  package mutating func abandon(_ waiter: WaiterID) -> Bool {
    guard let index = waiters.firstIndex(of: waiter) else { return false }
    waiters.remove(at: index)
    return true
  }

  /// A connection was opened.
  package mutating func opened(_ id: ConnectionID, now: ContinuousClock.Instant) -> [Action] {
    failures = 0
    nextAttempt = nil
    return hand(id, now: now) + openMissing(now: now)
  }

  /// A connection could not be opened. Whoever waits is told at once, unless others are alive.
  /// - Parameter jitter: from 0 to 1; spreads the attempts of many processes.
  package mutating func openFailed(
    _ id: ConnectionID, now: ContinuousClock.Instant, jitter: Double
  ) -> [Action] {
    slots[id] = nil
    failures += 1
    let doubled = configuration.initialBackoff * (1 << min(failures - 1, 20))
    let backoff = min(doubled, configuration.maxBackoff)
    nextAttempt = now + backoff * (0.5 + jitter / 2)
    var actions: [Action] = []
    if !slots.values.contains(where: { $0 != .opening }) {
      actions = waiters.map { .reject($0, .unavailable) }
      waiters = []
    }
    return actions + openMissing(now: now) + finish()
  }

  /// A leased connection came back.
  package mutating func release(
    _ id: ConnectionID, isUsable: Bool, now: ContinuousClock.Instant
  ) -> [Action] {
    guard isUsable else {
      slots[id] = nil
      return [.close(id)] + openMissing(now: now) + finish()
    }
    return hand(id, now: now)
  }

  /// A connection was tried out.
  package mutating func checked(
    _ id: ConnectionID, isUsable: Bool, now: ContinuousClock.Instant
  ) -> [Action] {
    release(id, isUsable: isUsable, now: now)
  }

  /// Time has passed: idle connections are tried out, or closed when there are too many.
  package mutating func tick(now: ContinuousClock.Instant) -> [Action] {
    guard !isShuttingDown else { return [] }
    var actions: [Action] = []
    for id in idle {
      guard case .idle(let since) = slots[id] else { continue }
      if now - since >= configuration.idleTimeout, slots.count > configuration.minConnections {
        idle.removeAll { $0 == id }
        slots[id] = nil
        actions.append(.close(id))
      } else if now - since >= configuration.checkInterval {
        idle.removeAll { $0 == id }
        slots[id] = .checking
        actions.append(.check(id))
      }
    }
    return actions + openMissing(now: now)
  }

  package mutating func shutDown() -> [Action] {
    guard !isShuttingDown else { return [] }
    isShuttingDown = true
    var actions: [Action] = waiters.map { .reject($0, .closed) }
    waiters = []
    for id in idle {
      slots[id] = nil
      actions.append(.close(id))
    }
    idle = []
    return actions + finish()
  }

  private mutating func hand(_ id: ConnectionID, now: ContinuousClock.Instant) -> [Action] {
    if isShuttingDown {
      slots[id] = nil
      return [.close(id)] + finish()
    }
    guard !waiters.isEmpty else {
      slots[id] = .idle(since: now)
      idle.append(id)
      return []
    }
    slots[id] = .leased
    return [.grant(waiters.removeFirst(), id)]
  }

  /// Opens what the waiters and the minimum need; one at a time while the server is away.
  private mutating func openMissing(now: ContinuousClock.Instant) -> [Action] {
    guard !isShuttingDown else { return [] }
    var opening = slots.values.count { $0 == .opening }
    var actions: [Action] = []
    while slots.count < configuration.maxConnections {
      let isWanted = opening < waiters.count || slots.count < configuration.minConnections
      guard isWanted, failures == 0 || opening == 0 else { break }
      lastID += 1
      let id = ConnectionID(number: lastID)
      slots[id] = .opening
      opening += 1
      actions.append(.open(id, after: nextAttempt.map { max($0 - now, .zero) } ?? .zero))
    }
    return actions
  }

  private mutating func finish() -> [Action] {
    guard isShuttingDown, slots.isEmpty, !isFinished else { return [] }
    isFinished = true
    return [.finished]
  }
}
