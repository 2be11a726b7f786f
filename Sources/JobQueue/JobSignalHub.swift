import Synchronization

/// Hands every signal to every subscriber of a store. Never waits: a subscriber that does not read
/// loses its oldest signals, and is told so by `.interrupted` among those that are left.
package final class JobSignalHub: Sendable {
  /// The most signals kept for a subscriber that does not read.
  package static let bufferedSignals = 4_096

  private struct State {
    var subscribers: [Int: Subscriber] = [:]
    var nextID = 0
  }

  private struct Subscriber {
    let input: AsyncStream<JobSignal>.Continuation
    /// How many signals it was given in all; the buffer holds the last ones of them.
    private var given = 0
    /// The number of the last `.interrupted` that stands for lost signals.
    private var lastInterruption: Int?

    init(_ input: AsyncStream<JobSignal>.Continuation) {
      self.input = input
    }

    mutating func give(_ signal: JobSignal) {
      given += 1
      guard case .dropped = input.yield(signal) else { return }
      // The buffer is full: it holds the last so many. One interruption among them will do.
      if let lastInterruption, lastInterruption > given - JobSignalHub.bufferedSignals { return }
      given += 1
      lastInterruption = given
      input.yield(.interrupted)
    }
  }

  private let state = Mutex(State())

  package init() {}

  package func subscribe() -> AsyncStream<JobSignal> {
    let (stream, continuation) = AsyncStream.makeStream(
      of: JobSignal.self, bufferingPolicy: .bufferingNewest(Self.bufferedSignals))
    let id = state.withLock { state in
      state.nextID += 1
      state.subscribers[state.nextID] = Subscriber(continuation)
      return state.nextID
    }
    continuation.onTermination = { [weak self] _ in
      self?.state.withLock { _ = $0.subscribers.removeValue(forKey: id) }
    }
    return stream
  }

  package func emit(_ signals: [JobSignal]) {
    guard !signals.isEmpty else { return }
    state.withLock { state in
      for id in state.subscribers.keys {
        for signal in signals { state.subscribers[id]?.give(signal) }
      }
    }
  }
}
