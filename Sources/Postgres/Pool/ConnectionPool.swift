public import Logging
import Synchronization

/// A pool of connections that opens, checks, replaces and closes them by itself.
///
/// `run()` does the pool's own work and must be running while connections are asked for: make it a
/// service of the program, or use `withPool` in a short one. While the server is away, callers are
/// told so within one attempt's time; the pool keeps trying, with growing pauses.
public final class ConnectionPool: Sendable {
  /// The longest that a shutdown waits for connections that are in use.
  static let shutdownTimeout = Duration.seconds(10)

  typealias ID = PoolStateMachine.ConnectionID
  typealias Waiter = PoolStateMachine.WaiterID
  typealias Lease = (id: ID, connection: Connection)

  struct State {
    var machine: PoolStateMachine
    var connections: [ID: Connection] = [:]
    var waiters: [Waiter: CheckedContinuation<Lease, any Error>] = [:]
    var lastWaiter = 0
    /// Connections whose work was ordered and has not begun.
    var ordered: Set<ID> = []
    var lastFailure: (any Error)?
    var isFinished = false
    var finish: CheckedContinuation<Void, Never>?
  }

  /// What `run()` does for the state machine.
  enum Work: Sendable {
    case open(ID, after: Duration)
    case check(ID)
  }

  let connection: ConnectionConfiguration
  let configuration: PoolConfiguration
  let logger: Logger
  let state: Mutex<State>
  private let work: AsyncStream<Work>
  private let workInput: AsyncStream<Work>.Continuation

  public init(
    connection: ConnectionConfiguration, configuration: PoolConfiguration = PoolConfiguration(),
    logger: Logger
  ) {
    self.connection = connection
    self.configuration = configuration
    self.logger = logger
    state = Mutex(State(machine: PoolStateMachine(configuration)))
    (work, workInput) = AsyncStream.makeStream()
  }

  /// Runs a pool for as long as the body takes.
  @discardableResult
  public static func withPool<Value: Sendable>(
    connection: ConnectionConfiguration, configuration: PoolConfiguration = PoolConfiguration(),
    logger: Logger, _ body: @escaping @Sendable (ConnectionPool) async throws -> Value
  ) async throws -> Value {
    let pool = ConnectionPool(
      connection: connection, configuration: configuration, logger: logger)
    return try await withThrowingTaskGroup(of: Value?.self) { group in
      group.addTask {
        await pool.run()
        return nil
      }
      group.addTask { try await body(pool) }
      defer { group.cancelAll() }
      while let result = try await group.next() {
        if let result { return result }
      }
      throw PostgresError(code: .cancelled, message: "the task was cancelled")
    }
  }

  /// Lends a connection to the body, alone, and takes it back whatever happens.
  ///
  /// - Throws: what the body throws; `PostgresError` when no connection is to be had.
  @discardableResult
  public func withConnection<Value: Sendable>(
    _ body: @Sendable (Connection) async throws -> Value
  ) async throws -> Value {
    let lease = try await usableLease()
    do {
      let value = try await body(lease.connection)
      release(lease.id, isUsable: await lease.connection.isUsable)
      return value
    } catch {
      release(lease.id, isUsable: await lease.connection.isUsable)
      throw error
    }
  }

  /// Does the pool's work until the task is cancelled; then waits, for some seconds, for
  /// connections in use and closes all.
  public func run() async {
    perform { $0.machine.start(now: .now) }
    await withDiscardingTaskGroup { group in
      group.addTask {
        while (try? await Task.sleep(for: .seconds(1))) != nil {
          self.perform { $0.machine.tick(now: .now) }
        }
      }
      for await item in work {
        group.addTask { await self.carryOut(item) }
      }
      shutDown()
      group.cancelAll()
    }
    let timer = Reactor.shared.schedule(at: .now + Self.shutdownTimeout) { self.finish() }
    await withCheckedContinuation { continuation in
      let isFinished = state.withLock { state in
        if !state.isFinished { state.finish = continuation }
        return state.isFinished
      }
      if isFinished { continuation.resume() }
    }
    Reactor.shared.cancel(timer)
  }

  /// Begins the end: nothing is opened any more, and work that nobody will do is given up.
  private func shutDown() {
    perform { state in
      defer { state.ordered = [] }
      return state.ordered.reduce(into: state.machine.shutDown()) { actions, id in
        actions += state.machine.release(id, isUsable: false, now: .now)
      }
    }
  }

  // MARK: Leases

  /// A lease on a connection that looks alive; dead ones on the way are thrown out.
  private func usableLease() async throws -> Lease {
    for _ in 0..<configuration.maxConnections {
      let lease = try await lease()
      if await lease.connection.isUsable { return lease }
      release(lease.id, isUsable: false)
    }
    return try await lease()
  }

  private func lease() async throws -> Lease {
    let waiter = state.withLock { state in
      state.lastWaiter += 1
      return Waiter(number: state.lastWaiter)
    }
    let timer = Reactor.shared.schedule(at: .now + configuration.waitTimeout) {
      self.abandon(waiter, Self.timedOut(after: self.configuration.waitTimeout))
    }
    defer { Reactor.shared.cancel(timer) }
    return try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { continuation in
        perform { state in
          state.waiters[waiter] = continuation
          return state.machine.lease(waiter, now: .now)
        }
        if Task.isCancelled { abandon(waiter, Self.cancelled) }
      }
    } onCancel: {
      abandon(waiter, Self.cancelled)
    }
  }

  private func abandon(_ waiter: Waiter, _ error: PostgresError) {
    let continuation = state.withLock { state in
      state.machine.abandon(waiter) ? state.waiters.removeValue(forKey: waiter) : nil
    }
    continuation?.resume(throwing: error)
  }

  private func release(_ id: ID, isUsable: Bool) {
    perform { $0.machine.release(id, isUsable: isUsable, now: .now) }
  }

  // MARK: Actions

  /// Takes an event to the state machine and carries out what it answers, outside of the lock.
  private func perform(_ event: (inout State) -> [PoolStateMachine.Action]) {
    var resumptions: [@Sendable () -> Void] = []
    var closing: [Connection] = []
    state.withLock { state in
      for action in event(&state) {
        switch action {
        case .open(let id, let delay):
          state.ordered.insert(id)
          workInput.yield(.open(id, after: delay))
        case .check(let id):
          state.ordered.insert(id)
          workInput.yield(.check(id))
        case .grant(let waiter, let id):
          guard let continuation = state.waiters.removeValue(forKey: waiter),
            let connection = state.connections[id]
          else { continue }
          resumptions.append { continuation.resume(returning: (id, connection)) }
        case .reject(let waiter, let reason):
          guard let continuation = state.waiters.removeValue(forKey: waiter) else { continue }
          let error = error(for: reason, state)
          resumptions.append { continuation.resume(throwing: error) }
        case .close(let id):
          // The last reference to a connection ends its session.
          if let connection = state.connections.removeValue(forKey: id) {
            closing.append(connection)
          }
        case .finished: resumptions.append { self.finish() }
        }
      }
    }
    for resume in resumptions { resume() }
  }

  private func finish() {
    let continuation = state.withLock { state in
      state.isFinished = true
      defer { state.finish = nil }
      return state.finish
    }
    continuation?.resume()
  }

  private func carryOut(_ work: Work) async {
    switch work {
    case .open(let id, let delay):
      guard begin(id) else { return }
      do {
        if delay > .zero { try await Task.sleep(for: delay) }
        let connection = try await Connection.connect(connection, logger: logger)
        perform { state in
          state.connections[id] = connection
          return state.machine.opened(id, now: .now)
        }
      } catch {
        logger.debug("cannot connect to PostgreSQL", metadata: ["error": "\(error)"])
        let jitter = Double.random(in: 0...1)
        perform { state in
          state.lastFailure = error
          return state.machine.openFailed(id, now: .now, jitter: jitter)
        }
      }
    case .check(let id):
      guard begin(id) else { return }
      let connection = state.withLock { $0.connections[id] }
      let isUsable = (try? await connection?.query("SELECT 1")) != nil
      perform { $0.machine.checked(id, isUsable: isUsable, now: .now) }
    }
  }

  /// Takes a connection's work off the list; `false` when the shutdown was faster.
  private func begin(_ id: ID) -> Bool {
    state.withLock { $0.ordered.remove(id) != nil }
  }

  // MARK: Errors

  private func error(for reason: PoolStateMachine.Rejection, _ state: State) -> PostgresError {
    switch reason {
    case .closed: PostgresError(code: .closed, message: "the connection pool is shut down")
    case .tooManyWaiters:
      PostgresError(
        code: .exhausted,
        message: "\(configuration.maxWaiters) callers wait for a connection already; slow down, "
          + "or raise the pool's limits")
    case .unavailable:
      PostgresError(
        code: .cannotConnect,
        message: (state.lastFailure as? PostgresError)?.message ?? "the server cannot be reached",
        cause: state.lastFailure)
    }
  }

  private static func timedOut(after limit: Duration) -> PostgresError {
    PostgresError(
      code: .timedOut,
      message: "no connection became free within \(limit); slow down, or raise the pool's maximum")
  }

  private static var cancelled: PostgresError {
    PostgresError(code: .cancelled, message: "the task was cancelled")
  }
}
