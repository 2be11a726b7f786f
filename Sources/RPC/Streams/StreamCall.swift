import CGRPC
import Synchronization

/// What the two ends of a call have in common: the call of the core, its queue of outgoing messages,
/// its incoming ones, and the tasks that wait for either.
///
/// Batches are started under the lock, so that none starts after the call has been found over. The
/// core's call is destroyed when its owner has settled it and every tag has come back.
class StreamCall: EventTarget, @unchecked Sendable {
  typealias Writer = CheckedContinuation<Void, any Error>
  typealias Reader = CheckedContinuation<[UInt8]?, any Error>

  struct State {
    var outbound: OutboundQueue
    var inbound = InboundStream()
    var writers: [(id: UInt64, writer: Writer)] = []
    var nextWriterID: UInt64 = 0
    var reader: Reader?
    var over: Over?
    var pendingTags = 0
    var settled = false
    var released = false
  }

  /// How a call ended.
  enum Over {
    case well
    case failed(RPCError)

    /// What a writer is told that comes too late.
    var writeError: RPCError {
      switch self {
      case .failed(let error): error
      case .well: RPCError(.cancelled, "the call has ended; nothing more can be written to it")
      }
    }

    /// What a reader gets: the end of the stream or the failure.
    var readResult: Result<[UInt8]?, any Error> {
      switch self {
      case .failed(let error): .failure(error)
      case .well: .success(nil)
      }
    }
  }

  let native: NativeCall
  let state: Mutex<State>
  private let maxSendMessageBytes: Int

  init(native: NativeCall, windowBytes: Int, maxSendMessageBytes: Int) {
    self.native = native
    self.maxSendMessageBytes = maxSendMessageBytes
    state = Mutex(State(outbound: OutboundQueue(windowBytes: windowBytes)))
  }

  // MARK: What the two ends do differently

  /// The operations that a batch needs, and the tag's purpose; also puts what it sends into the call.
  func operations(for batch: OutboundQueue.Batch) -> cgrpc_batch {
    var operations = cgrpc_batch(rawValue: 0)
    if batch.headers { operations |= CGRPC_SEND_INITIAL_METADATA }
    if let message = batch.message {
      native.put(message)
      operations |= CGRPC_SEND_MESSAGE
      if batch.moreFollows { operations |= CGRPC_MORE_FOLLOWS }
    }
    return operations
  }

  /// The operations that receive one message.
  func receiveOperations() -> cgrpc_batch { CGRPC_RECEIVE_MESSAGE }

  /// The task that waits in `write` or `read` was cancelled.
  func waitCancelled(writerID: UInt64?) {}

  /// The core's call is gone.
  func released() {}

  // MARK: Batches

  /// Starts a batch under the lock.
  func start(_ operations: cgrpc_batch, _ purpose: Purpose, _ state: inout State) -> Bool {
    guard !state.released, native.start(operations, self, purpose) else { return false }
    state.pendingTags += 1
    return true
  }

  func send(_ batch: OutboundQueue.Batch?, _ state: inout State) {
    guard let batch, !state.released else { return }
    if !start(operations(for: batch), .sent, &state) { state.outbound.close() }
  }

  /// A tag has come back; to be called last in `handle`.
  func tagReturned() {
    releaseIfDone { $0.pendingTags -= 1 }
  }

  /// The owner needs the call no more.
  func settle() {
    releaseIfDone { $0.settled = true }
  }

  private func releaseIfDone(_ change: (inout State) -> Void) {
    let done = state.withLock { state in
      change(&state)
      guard state.settled, state.pendingTags == 0, !state.released else { return false }
      state.released = true
      return true
    }
    guard done else { return }
    native.destroy()
    released()
  }

  /// Lets `body` use the core's call, unless it is gone.
  func withNative<Value>(_ body: (NativeCall, inout State) throws -> Value) rethrows -> Value? {
    try state.withLock { state in
      state.released ? nil : try body(native, &state)
    }
  }

  /// The call is over: everybody who waits learns it.
  func end(_ over: Over) {
    let (writers, reader) = state.withLock { state -> ([Writer], Reader?) in
      if state.over == nil { state.over = over }
      state.outbound.close()
      state.inbound.close()
      defer {
        state.writers = []
        state.reader = nil
      }
      return (state.writers.map(\.writer), state.reader)
    }
    for writer in writers { writer.resume(throwing: over.writeError) }
    reader?.resume(with: over.readResult)
  }
}

// MARK: - Writing

extension StreamCall {
  /// Hands a message to the core, or queues it behind others; waits while the window is full.
  func write(_ message: [UInt8]) async throws {
    guard message.count <= maxSendMessageBytes else {
      throw RPCError(
        .resourceExhausted,
        "a message of \(message.count) bytes is over the limit of \(maxSendMessageBytes) for "
          + "sending; split it or raise the limit")
    }
    let full = try state.withLock { state in
      switch state.outbound.append(message) {
      case .refused: throw (state.over ?? .well).writeError
      case .taken(let batch):
        send(batch, &state)
        return false
      case .takenButFull(let batch):
        send(batch, &state)
        return true
      }
    }
    if full { try await waitForRoom() }
  }

  private func waitForRoom() async throws {
    let id = state.withLock { state in
      state.nextWriterID += 1
      return state.nextWriterID
    }
    try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { (writer: Writer) in
        let verdict = state.withLock { state -> Result<Void, any Error>? in
          if let over = state.over { return .failure(over.writeError) }
          if state.outbound.hasRoom { return .success(()) }
          if Task.isCancelled { return .failure(CancellationError()) }
          state.writers.append((id, writer))
          return nil
        }
        if let verdict { writer.resume(with: verdict) }
      }
    } onCancel: {
      waitCancelled(writerID: id)
    }
  }

  /// The core has taken a batch; with room again, the writers go on.
  func batchSent() {
    let writers = state.withLock { state -> [Writer] in
      send(state.outbound.sent(), &state)
      guard state.outbound.hasRoom, !state.writers.isEmpty else { return [] }
      defer { state.writers = [] }
      return state.writers.map(\.writer)
    }
    for writer in writers { writer.resume() }
  }
}

// MARK: - Reading

extension StreamCall {
  /// The next message, nil at the end of the stream.
  func read() async throws -> [UInt8]? {
    try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { (reader: Reader) in
        let verdict = state.withLock { state in nextMessage(for: reader, &state) }
        if let verdict { reader.resume(with: verdict) }
      }
    } onCancel: {
      waitCancelled(writerID: nil)
    }
  }

  private func nextMessage(
    for reader: Reader, _ state: inout State
  ) -> Result<[UInt8]?, any Error>? {
    if case .failed(let error) = state.over { return .failure(error) }
    if Task.isCancelled { return .failure(CancellationError()) }
    switch state.inbound.next() {
    case .message(let message): return .success(message)
    case .ended: return (state.over ?? .well).readResult
    case .alreadyAwaited:
      return .failure(
        RPCError(.failedPrecondition, "two tasks read one stream; let one of them do it"))
    case .wait: break
    case .startAndWait:
      guard start(receiveOperations(), .received, &state) else {
        state.inbound.close()
        return .failure(RPCError(.internal, "the gRPC core refused to receive a message"))
      }
    }
    state.reader = reader
    return nil
  }

  /// Gives what was received to the reader, or keeps it for the next one.
  func deliver(_ message: [UInt8]?) {
    let reader = state.withLock { state -> Reader? in
      guard state.inbound.received(message) else { return nil }
      defer { state.reader = nil }
      return state.reader
    }
    reader?.resume(returning: message)
  }
}
