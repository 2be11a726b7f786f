import Synchronization

/// Something that happens once, and that any number of tasks can wait for.
package final class OneShotSignal: Sendable {
  private struct State {
    var happened = false
    var waiters: [CheckedContinuation<Void, Never>] = []
  }

  private let state = Mutex(State())

  package init() {}

  package var happened: Bool { state.withLock { $0.happened } }

  package func send() {
    let waiters = state.withLock { state in
      state.happened = true
      defer { state.waiters = [] }
      return state.waiters
    }
    for waiter in waiters { waiter.resume() }
  }

  /// Waits until it has happened, whether the task is cancelled or not.
  package func wait() async {
    await withCheckedContinuation { continuation in
      let happened = state.withLock { state in
        if !state.happened { state.waiters.append(continuation) }
        return state.happened
      }
      if happened { continuation.resume() }
    }
  }
}
