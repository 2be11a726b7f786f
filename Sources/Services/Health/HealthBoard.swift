import Synchronization

/// What the health service tells, and who wants to hear of changes.
public final class HealthBoard: Sendable {
  public enum Status: Sendable {
    case serving, notServing
  }

  private struct State {
    var status = Status.notServing
    var isClosed = false
    var listeners: [UInt64: AsyncStream<Status>.Continuation] = [:]
    var nextListener: UInt64 = 0
  }

  /// The services that are known by name; they all have the server's status.
  let services: Set<String>
  private let state = Mutex(State())

  /// - Parameter services: full names, such as `millrace.v1.JobService`.
  public init(services: [String]) {
    self.services = Set(services)
  }

  public var status: Status { state.withLock { $0.status } }

  public func set(_ status: Status) {
    state.withLock { state in
      guard state.status != status, !state.isClosed else { return }
      state.status = status
      for listener in state.listeners.values { listener.yield(status) }
    }
  }

  /// Says NOT_SERVING for good, and ends every watch after that.
  public func close() {
    let listeners = state.withLock { state in
      state.isClosed = true
      state.status = .notServing
      defer { state.listeners = [:] }
      return state.listeners.values
    }
    for listener in listeners {
      listener.yield(.notServing)
      listener.finish()
    }
  }

  /// The status now, and each change.
  func changes() -> AsyncStream<Status> {
    let (stream, continuation) = AsyncStream<Status>.makeStream(
      bufferingPolicy: .bufferingNewest(1))
    let isClosed = state.withLock { state in
      continuation.yield(state.status)
      guard !state.isClosed else { return true }
      let listener = state.nextListener
      state.nextListener += 1
      state.listeners[listener] = continuation
      continuation.onTermination = { [weak self] _ in self?.remove(listener) }
      return false
    }
    if isClosed { continuation.finish() }
    return stream
  }

  private func remove(_ listener: UInt64) {
    _ = state.withLock { $0.listeners.removeValue(forKey: listener) }
  }
}
