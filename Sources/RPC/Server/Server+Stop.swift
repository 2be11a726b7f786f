import CGRPC
import Logging
import Synchronization

extension Server {
  /// Serves until the server is shut down; starts it if that has not been done.
  ///
  /// When the task is cancelled, the server stops at once: running calls are cancelled. For a stop
  /// that lets them end, call `shutDownGracefully` from elsewhere, such as a handler for graceful
  /// shutdown, and this returns when it is done.
  ///
  /// Throws what `start` throws.
  public func run() async throws {
    try startIfIdle()
    await withTaskCancellationHandler {
      await drained.wait()
    } onCancel: {
      beginDraining()
      cancelAllCalls()
    }
    await tearDown()
  }

  /// Stops accepting, lets running calls end, cancels those that still run after `grace` (the
  /// configuration's `drainTimeout` unless given), and returns when all of them have ended, the threads
  /// are gone and the memory is freed.
  ///
  /// A handler that ignores the cancellation of its task holds it up. Not to be awaited in a handler
  /// of this server, which would wait for itself. If the caller's own task is cancelled, the grace
  /// ends there.
  public func shutDownGracefully(within grace: Duration? = nil) async {
    beginDraining()
    await withTaskGroup(of: Void.self) { group in
      group.addTask {
        try? await Task.sleep(for: grace ?? self.configuration.drainTimeout)
        self.cancelAllCalls()
      }
      await drained.wait()
      group.cancelAll()
    }
    await tearDown()
  }

  private func startIfIdle() throws(RPCError) {
    let idle = life.withLock { life in
      if case .idle = life.phase { return true }
      return false
    }
    if idle { try start() }
  }

  /// Has the core stop accepting; `drained` follows when the last call and connection have ended.
  private func beginDraining() {
    let (running, neverRan) = startGate.withLock { _ in
      life.withLock { life -> (Running?, Bool) in
        switch life.phase {
        case .idle:
          life.phase = .stopped
          return (nil, true)
        case .running(let running):
          life.phase = .draining(running)
          return (running, false)
        case .draining, .stopped: return (nil, false)
        }
      }
    }
    if neverRan { drained.send() }
    guard let running, let queue = running.queues.first else { return }
    logger.info("draining", metadata: ["calls": "\(activeCalls)"])
    let tag = Tag.retaining(StopListener(server: self), .serverStopped)
    startGate.withLock { _ in cgrpc_server_shutdown(running.handle, queue.handle, tag) }
  }

  /// Waits until a start or a stop that is under way has returned from the core. The core tells that
  /// a server has stopped while the call that stops it still uses the server: without this wait it
  /// could be destroyed under that call.
  func waitForGate() {
    startGate.withLock { _ in }
  }

  /// Cancels what still runs, if the server is draining.
  private func cancelAllCalls() {
    life.withLock { life in
      if case .draining(let running) = life.phase { cgrpc_server_cancel_all(running.handle) }
    }
  }

  fileprivate func disconnected() {
    let drained = life.withLock { life in
      life.disconnected = true
      return life.stopIfDrained()
    }
    if drained { self.drained.send() }
  }

  /// Frees everything, once; whoever comes second waits for the first.
  private func tearDown() async {
    let running = life.withLock { life in
      defer { life.toTearDown = nil }
      return life.toTearDown
    }
    if let running {
      waitForGate()
      cgrpc_server_destroy(running.handle)
      for queue in running.queues { await queue.close() }
      logger.info("stopped")
    } else if life.withLock({ $0.isTearingDown }) {
      await stopped.wait()
      return
    }
    stopped.send()
  }
}

/// Learns that the core has closed every listener and connection.
private final class StopListener: EventTarget, @unchecked Sendable {
  private let server: Server

  init(server: Server) {
    self.server = server
  }

  override func handle(_ purpose: Purpose, succeeded: Bool) {
    server.disconnected()
  }
}
