import Synchronization

/// Lets a few in at once and the others wait, first come, first served.
package final class ReadGate: Sendable {
  private struct State {
    var free: Int
    var lastID: UInt64 = 0
    /// Those who wait; who gives up leaves at once.
    var waiting: [UInt64: CheckedContinuation<Bool, Never>] = [:]
    /// Their order, from `head` on, with those who gave up.
    var queue: [UInt64] = []
    var head = 0

    /// Takes the first one who still waits out of the queue.
    mutating func dequeue() -> CheckedContinuation<Bool, Never>? {
      while head < queue.count {
        let next = waiting.removeValue(forKey: queue[head])
        head += 1
        if head * 2 > queue.count {
          queue.removeFirst(head)
          head = 0
        }
        if let next { return next }
      }
      return nil
    }
  }

  private let state: Mutex<State>

  /// - Parameter limit: how many may be inside at once; at least one.
  package init(limit: Int) {
    state = Mutex(State(free: max(limit, 1)))
  }

  /// How many wait for room.
  package var waitingCount: Int { state.withLock { $0.waiting.count } }

  /// Waits for room. Whoever returns from here calls `leave` once.
  ///
  /// - Throws: `CancellationError` when the task is cancelled before there is room.
  package func enter() async throws(CancellationError) {
    let id = state.withLock { state in
      state.lastID += 1
      return state.lastID
    }
    let isIn = await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let answer = state.withLock { state -> Bool? in
          if Task.isCancelled { return false }
          guard state.free == 0 else {
            state.free -= 1
            return true
          }
          state.waiting[id] = continuation
          state.queue.append(id)
          return nil
        }
        if let answer { continuation.resume(returning: answer) }
      }
    } onCancel: {
      state.withLock { $0.waiting.removeValue(forKey: id) }?.resume(returning: false)
    }
    guard isIn else { throw CancellationError() }
  }

  /// Makes room for the next one.
  package func leave() {
    let next = state.withLock { state in
      let next = state.dequeue()
      if next == nil { state.free += 1 }
      return next
    }
    next?.resume(returning: true)
  }
}
