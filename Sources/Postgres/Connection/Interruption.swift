import CLibPQ
import Synchronization

/// Owns a `PGcancel`, which libpq allows to be used from any thread.
final class CancelHandle: @unchecked Sendable {
  private let pointer: OpaquePointer

  init(_ pointer: OpaquePointer) {
    self.pointer = pointer
  }

  deinit {
    PQfreeCancel(pointer)
  }

  /// Asks the server to cancel what the connection is running. Blocks for a connection's time.
  func cancel() {
    var message = [CChar](repeating: 0, count: 256)
    _ = PQcancel(pointer, &message, Int32(message.count))
  }
}

/// The cancelling of one exchange: at most one request, and none after the exchange has ended.
///
///     idle ──request──▶ sending ──answer──▶ sent
///      └────finish───────┴──────finish──────┴──▶ over
final class Interruption: Sendable {
  private enum State {
    case idle
    case sending(waiter: CheckedContinuation<Bool, Never>?)
    case sent
    case over
  }

  private let handle: CancelHandle
  private let state = Mutex(State.idle)
  private let time = Mutex<ContinuousClock.Instant?>(nil)

  init(_ handle: CancelHandle) {
    self.handle = handle
  }

  var requestTime: ContinuousClock.Instant? { time.withLock { $0 } }

  func request() {
    let isFirst = state.withLock { state in
      guard case .idle = state else { return false }
      state = .sending(waiter: nil)
      return true
    }
    guard isFirst else { return }
    time.withLock { $0 = .now }
    BlockingThread.cancelling.enqueue {
      self.handle.cancel()
      let waiter = self.state.withLock { state -> CheckedContinuation<Bool, Never>? in
        guard case .sending(let waiter) = state else { return nil }
        state = .sent
        return waiter
      }
      waiter?.resume(returning: true)
    }
  }

  /// Waits for a request that is on its way and forbids later ones.
  ///
  /// - Returns: whether it has arrived within the time. If not, it may still hit whatever the
  ///   connection does next, which must therefore do nothing.
  func finish(within limit: Duration) async -> Bool {
    let timer = Mutex<Reactor.Registration?>(nil)
    defer { if let timer = timer.withLock({ $0 }) { Reactor.shared.cancel(timer) } }
    return await withCheckedContinuation { continuation in
      let isDone = state.withLock { state in
        if case .sending = state {
          state = .sending(waiter: continuation)
          return false
        }
        state = .over
        return true
      }
      if isDone { return continuation.resume(returning: true) }
      let registration = Reactor.shared.schedule(at: .now + limit) { self.giveUp() }
      timer.withLock { $0 = registration }
    }
  }

  private func giveUp() {
    let waiter = state.withLock { state -> CheckedContinuation<Bool, Never>? in
      guard case .sending(let waiter) = state else { return nil }
      state = .over
      return waiter
    }
    waiter?.resume(returning: false)
  }
}
