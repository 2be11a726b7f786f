import Foundation
import Synchronization

/// A thread for those calls of C libraries that block: name look-ups, cancel requests, `waitpid`.
///
/// Calls run one after another. The thread starts with the first call and lives on.
final class BlockingThread: Sendable {
  /// Makes connections: `PQconnectStart` may look up a host name.
  static let connecting = BlockingThread(name: "postgres-connect")
  /// Sends cancel requests: `PQcancel` makes a connection of its own.
  static let cancelling = BlockingThread(name: "postgres-cancel")

  private struct State {
    var calls: [@Sendable () -> Void] = []
    var isStarted = false
  }

  private let state = Mutex(State())
  private let pending = DispatchSemaphore(value: 0)
  private let name: String

  init(name: String) {
    self.name = name
  }

  /// Runs the call on the thread, some time soon.
  func enqueue(_ call: @escaping @Sendable () -> Void) {
    let mustStart = state.withLock { state in
      state.calls.append(call)
      defer { state.isStarted = true }
      return !state.isStarted
    }
    if mustStart {
      let thread = Thread { self.loop() }
      thread.name = name
      thread.start()
    }
    pending.signal()
  }

  /// Runs the call on the thread and suspends until it has returned.
  func run<Value: Sendable>(_ call: @escaping @Sendable () -> Value) async -> Value {
    await withCheckedContinuation { continuation in
      enqueue { continuation.resume(returning: call()) }
    }
  }

  private func loop() {
    while true {
      pending.wait()
      state.withLock { $0.calls.isEmpty ? nil : $0.calls.removeFirst() }?()
    }
  }
}
