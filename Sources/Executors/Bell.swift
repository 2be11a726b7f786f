import Synchronization

/// Wakes one waiting task. Rings while nobody waits are kept as one.
final class Bell: Sendable {
  private struct State {
    var isRung = false
    var isClosed = false
    var waiter: CheckedContinuation<Void, Never>?
  }

  private let state = Mutex(State())

  func ring() {
    wake { $0.isRung = true }
  }

  /// Lets `wait` return `false` from now on.
  func close() {
    wake { $0.isClosed = true }
  }

  var isClosed: Bool { state.withLock { $0.isClosed } }

  /// Waits for a ring. Returns `false` once the bell is closed, or the task is cancelled.
  func wait() async -> Bool {
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let mayWait = state.withLock { state in
          guard !state.isRung, !state.isClosed, !Task.isCancelled else { return false }
          state.waiter = continuation
          return true
        }
        if !mayWait { continuation.resume() }
      }
    } onCancel: {
      close()
    }
    return state.withLock { state in
      state.isRung = false
      return !state.isClosed
    }
  }

  private func wake(_ change: (inout State) -> Void) {
    let waiter = state.withLock { state in
      change(&state)
      defer { state.waiter = nil }
      return state.waiter
    }
    waiter?.resume()
  }
}
