/// What one side of a call receives: a pure state machine that asks the core for one message at a time,
/// and only when somebody wants it, so that a slow reader holds back the sender and nobody else.
///
/// States: idle -> receiving -> idle, or -> ended. A receive whose reader has given up keeps its
/// message for the next reader.
package struct InboundStream {
  package enum Next: Equatable {
    /// Ask the core for a message, then wait.
    case startAndWait
    /// The core has been asked already: wait.
    case wait
    case message([UInt8])
    case ended
    /// Somebody else is waiting; a stream has one reader.
    case alreadyAwaited
  }

  private enum State {
    case idle
    case receiving(awaited: Bool)
    case kept([UInt8])
    case ended
  }

  private var state = State.idle

  package init() {}

  package mutating func next() -> Next {
    switch state {
    case .idle:
      state = .receiving(awaited: true)
      return .startAndWait
    case .receiving(awaited: false):
      state = .receiving(awaited: true)
      return .wait
    case .receiving(awaited: true): return .alreadyAwaited
    case .kept(let message):
      state = .idle
      return .message(message)
    case .ended: return .ended
    }
  }

  /// The core has answered; nil is the end of the stream. True when the reader waits for it.
  package mutating func received(_ message: [UInt8]?) -> Bool {
    guard case .receiving(let awaited) = state else { return false }
    switch message {
    case .none: state = .ended
    case .some(let message): state = awaited ? .idle : .kept(message)
    }
    return awaited
  }

  /// The reader no longer waits.
  package mutating func giveUp() {
    if case .receiving(awaited: true) = state { state = .receiving(awaited: false) }
  }

  /// The call is over.
  package mutating func close() {
    state = .ended
  }
}
