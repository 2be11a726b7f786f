/// What one side of a call still has to send: a pure state machine.
///
/// The core takes one message at a time for each call. Messages that come meanwhile wait here, up to
/// a window; beyond it the writer has to wait until half of it is free. A message that has others
/// behind it is marked, so that the core may put several into one write to the socket; the last one
/// is never marked, so a lone message leaves at once.
///
/// States: open -> finished (the end is queued) -> ended (the end is on its way); any -> closed.
package struct OutboundQueue {
  /// One thing for the core to do.
  package struct Batch: Equatable {
    package var headers = false
    package var message: [UInt8]?
    package var moreFollows = false
    package var end = false

    package init(
      headers: Bool = false, message: [UInt8]? = nil, moreFollows: Bool = false, end: Bool = false
    ) {
      self.headers = headers
      self.message = message
      self.moreFollows = moreFollows
      self.end = end
    }
  }

  /// What becomes of a message.
  package enum Admission: Equatable {
    /// Taken; the writer may go on.
    case taken(Batch?)
    /// Taken, and the window is now full: the writer has to wait.
    case takenButFull(Batch?)
    /// Refused: the end has been queued or the call is over.
    case refused
  }

  private enum State {
    case open, finished, ended, closed
  }

  /// What a queued message costs in addition to its bytes.
  package static let messageOverheadBytes = 64

  /// Places of sent messages that are not worth tidying up.
  private static let mostLeftBehind = 64

  private let windowBytes: Int
  private var state = State.open
  private var messages: [[UInt8]] = []
  private var head = 0
  private var queuedBytes = 0
  private var sending = false
  package private(set) var headersSent = false

  package init(windowBytes: Int) {
    self.windowBytes = windowBytes
  }

  package var isOpen: Bool { state == .open }
  package var endIsOnItsWay: Bool { state == .ended }
  package var isFull: Bool { queuedBytes > windowBytes }
  /// Whether a writer that had to wait may go on.
  package var hasRoom: Bool { queuedBytes <= windowBytes / 2 }

  /// Places that the queue takes up for what waits; at most about twice as many as messages wait.
  package var places: Int { messages.count }

  package mutating func append(_ message: [UInt8]) -> Admission {
    guard state == .open else { return .refused }
    push(message)
    let batch = nextBatch()
    return isFull ? .takenButFull(batch) : .taken(batch)
  }

  /// Sends the headers now, if they have not gone out yet and nothing else is about to.
  package mutating func sendHeaders() -> Batch? {
    guard state == .open, !sending, !headersSent else { return nil }
    headersSent = true
    sending = true
    return Batch(headers: true)
  }

  /// Queues a last message, if there is one, and the end behind it.
  package mutating func finish(with message: [UInt8]? = nil) -> Batch? {
    guard state == .open else { return nil }
    if let message { push(message) }
    state = .finished
    return nextBatch()
  }

  /// The core has taken the batch that was under way.
  package mutating func sent() -> Batch? {
    sending = false
    return nextBatch()
  }

  /// The call is over: what is queued will never be sent.
  package mutating func close() {
    state = .closed
    messages = []
    head = 0
    queuedBytes = 0
  }

  private mutating func push(_ message: [UInt8]) {
    messages.append(message)
    queuedBytes += message.count + Self.messageOverheadBytes
  }

  private mutating func pop() -> [UInt8]? {
    guard head < messages.count else { return nil }
    let message = messages[head]
    messages[head] = []
    head += 1
    if head == messages.count {
      messages.removeAll(keepingCapacity: true)
      head = 0
    } else if head > Self.mostLeftBehind, head * 2 > messages.count {
      // Moves no more messages than were sent since the last time.
      messages.removeFirst(head)
      head = 0
    }
    queuedBytes -= message.count + Self.messageOverheadBytes
    return message
  }

  private mutating func nextBatch() -> Batch? {
    guard !sending, state == .open || state == .finished else { return nil }
    var batch = Batch(message: pop())
    batch.moreFollows = head < messages.count
    if state == .finished, !batch.moreFollows {
      batch.end = true
      state = .ended
    }
    guard batch.message != nil || batch.end else { return nil }
    batch.headers = !headersSent
    headersSent = true
    sending = true
    return batch
  }
}
