import Synchronization

/// Hands every signal to every subscriber of a store. Never waits: a subscriber that does not read
/// loses its oldest signals.
package final class JobSignalHub: Sendable {
  /// The most signals kept for a subscriber that does not read.
  package static let bufferedSignals = 4_096

  private struct State {
    var subscribers: [Int: AsyncStream<JobSignal>.Continuation] = [:]
    var nextID = 0
  }

  private let state = Mutex(State())

  package init() {}

  package func subscribe() -> AsyncStream<JobSignal> {
    let (stream, continuation) = AsyncStream.makeStream(
      of: JobSignal.self, bufferingPolicy: .bufferingNewest(Self.bufferedSignals))
    let id = state.withLock { state in
      state.nextID += 1
      state.subscribers[state.nextID] = continuation
      return state.nextID
    }
    continuation.onTermination = { [weak self] _ in
      self?.state.withLock { _ = $0.subscribers.removeValue(forKey: id) }
    }
    return stream
  }

  package func emit(_ signals: [JobSignal]) {
    guard !signals.isEmpty else { return }
    let subscribers = state.withLock { Array($0.subscribers.values) }
    for subscriber in subscribers {
      for signal in signals { subscriber.yield(signal) }
    }
  }
}
