import Dispatch
import Synchronization

/// Where the prompts of submissions are looked through, which takes long for long ones.
///
/// Swift's own threads are as many as the cores, and everything else of the process runs on them:
/// leases, write-back, watches. So long prompts are checked on one thread beside them, one prompt after
/// another, in turns between the calls. How many bytes may wait for it is bounded.
package final class CheckingQueue: Sendable {
  /// Calls with prompts up to this size together are not worth the change of threads.
  package static let smallBytes = 16 << 10

  private let queue = DispatchQueue(label: "millrace.checking")
  private let maxWaitingBytes: Int
  private let waitingBytes = Mutex(0)

  /// - Parameter maxWaitingBytes: a call that would make more wait is refused; at least as much as
  ///   one call may bring.
  package init(maxWaitingBytes: Int = 64 << 20) {
    self.maxWaitingBytes = maxWaitingBytes
  }

  /// What `check` answers for each of the items, in their order.
  ///
  /// - Parameter sizes: the bytes of each item.
  /// - Throws: RESOURCE_EXHAUSTED when too much waits already; `CancellationError` between two items
  ///   when the task was cancelled.
  package func run<Value: Sendable>(
    over sizes: [Int], _ check: @escaping @Sendable (Int) -> Value
  ) async throws -> [Value] {
    let total = sizes.reduce(0, +)
    guard total > Self.smallBytes else { return sizes.indices.map(check) }
    let isAdmitted = waitingBytes.withLock { waiting in
      guard total <= maxWaitingBytes - waiting else { return false }
      waiting += total
      return true
    }
    guard isAdmitted else { throw ServiceError.busyChecking }
    defer { waitingBytes.withLock { $0 -= total } }
    var values: [Value] = []
    for item in sizes.indices {
      try Task.checkCancellation()
      values.append(
        await withCheckedContinuation { continuation in
          queue.async { continuation.resume(returning: check(item)) }
        })
    }
    return values
  }
}
