import CGRPC
import Logging
import Synchronization

/// One call that a client has made, from its arrival until its last tag has come back.
final class ServerCall: StreamCall, @unchecked Sendable {
  private struct Watch {
    var task: Task<Void, Never>?
    var closeWatched = false
    var cancelled = false
    /// What the call takes up of the server's limits; nil for one that was refused.
    var share: CallLoad.Share?
  }

  let method: String
  private let server: Server
  private let watch = Mutex(Watch())

  init(native: NativeCall, method: String, server: Server) {
    self.method = method
    self.server = server
    super.init(
      native: native, windowBytes: server.configuration.writeWindowBytes,
      maxSendMessageBytes: server.configuration.maxSendMessageBytes)
  }

  /// Has the call give back at its end what it was let in with.
  func hold(_ share: CallLoad.Share) {
    watch.withLock { $0.share = share }
  }

  // MARK: The handler

  /// Starts the handler's task.
  func run(_ handler: MethodHandler, on queue: CompletionQueue) {
    switch handler.placement {
    case .queueThread:
      hold(Task(executorPreference: queue) { await self.answer(with: handler) })
      queue.watchAfterFirstRun(self)
    case .globalExecutor:
      hold(Task { await self.answer(with: handler) })
      watchForClose()
    }
  }

  private func hold(_ task: Task<Void, Never>) {
    let cancelled = watch.withLock { watch in
      watch.task = task
      return watch.cancelled
    }
    if cancelled { task.cancel() }
  }

  private func answer(with handler: MethodHandler) async {
    let context = ServerContext(call: self)
    do {
      switch handler.body {
      case .unary(let body):
        finish(with: try checked(try await body(try onlyRequest(), context)))
      case .serverStreaming(let body):
        try await body(try onlyRequest(), context, ResponseWriter(call: self))
        finish()
      case .clientStreaming(let body):
        finish(with: try checked(try await body(RequestStream(call: self), context)))
      case .bidirectional(let body):
        try await body(RequestStream(call: self), context, ResponseWriter(call: self))
        finish()
      }
    } catch {
      fail(error)
    }
    watch.withLock { $0.task = nil }
    settle()
  }

  private func onlyRequest() throws(RPCError) -> [UInt8] {
    guard let request = withNative({ native, _ in native.takeMessage() }) ?? nil else {
      throw RPCError(.unimplemented, "this method takes exactly one request, and none came")
    }
    return request
  }

  private func checked(_ response: [UInt8]) throws(RPCError) -> [UInt8] {
    let limit = server.configuration.maxSendMessageBytes
    guard response.count <= limit else {
      throw RPCError(
        .resourceExhausted,
        "the response has \(response.count) bytes, over this server's limit of \(limit)")
    }
    return response
  }

  // MARK: The end

  /// Ends the call well, with a last message if there is one.
  private func finish(with message: [UInt8]? = nil) {
    withNative { native, state in
      native.setStatus(0, "")
      send(state.outbound.finish(with: message), &state)
    }
  }

  private func fail(_ error: any Error) {
    let status = RPCError(handlerError: error)
    if let cause = status.cause {
      let isOurs = [.internal, .unknown, .dataLoss].contains(status.code)
      server.logger.log(
        level: isOurs ? .error : .debug, "a handler failed",
        metadata: ["method": "\(method)", "error": "\(type(of: cause))", "reason": "\(cause)"])
    }
    finish(failing: status)
  }

  private func finish(failing status: RPCError) {
    withNative { native, state in
      guard state.outbound.isOpen else { return }
      native.setStatus(status.code.rawValue, status.message)
      var trailers = status.trailingMetadata
      if let details = status.details { trailers.append(RPCError.detailsKey, binary: details) }
      do {
        try native.add(trailers, to: CGRPC_SENT_TRAILING)
      } catch {
        server.logger.error(
          "trailers cannot be sent", metadata: ["method": "\(method)", "reason": "\(error)"])
      }
      send(state.outbound.finish(), &state)
    }
  }

  /// Ends a call that no handler has seen.
  func reject(_ status: RPCError) {
    finish(failing: status)
    settle()
  }

  override func operations(for batch: OutboundQueue.Batch) -> cgrpc_batch {
    var operations = super.operations(for: batch)
    if batch.end {
      operations |= CGRPC_SEND_STATUS
      let unwatched = watch.withLock { watch in
        defer { watch.closeWatched = true }
        return !watch.closeWatched
      }
      if unwatched { operations |= CGRPC_RECEIVE_CLOSE }
    }
    return operations
  }

  override func released() {
    server.callEnded(watch.withLock { $0.share })
  }

  // MARK: Events

  /// Asks to be told when the client cancels or goes away.
  func watchForClose() {
    withNative { _, state in
      let unwatched = watch.withLock { watch in
        defer { watch.closeWatched = true }
        return !watch.closeWatched
      }
      if unwatched { _ = start(CGRPC_RECEIVE_CLOSE, .closed, &state) }
    }
  }

  override func handle(_ purpose: Purpose, succeeded: Bool) {
    switch purpose {
    case .closed:
      if !succeeded || cgrpc_call_was_cancelled(native.handle) { cancelled() }
    case .sent:
      if succeeded { batchSent() } else { cancelled() }
    case .received:
      let message = succeeded ? native.takeMessage() : nil
      let failed = message == nil && (!succeeded || cgrpc_message_failed(native.handle))
      if failed { cancelled() } else { deliver(message) }
    case .arrived, .ended, .serverStopped: break
    }
    tagReturned()
  }

  private func cancelled() {
    let late = (nanosecondsLeft() ?? 1) <= 0
    end(
      .failed(
        late
          ? RPCError(.deadlineExceeded, "the client's deadline has passed")
          : RPCError(.cancelled, "the client has cancelled the call or is gone")))
    let task = watch.withLock { watch in
      watch.cancelled = true
      return watch.task
    }
    task?.cancel()
  }

  /// The task that waits was cancelled, though perhaps not the call: only the wait ends.
  override func waitCancelled(writerID: UInt64?) {
    guard let writerID else {
      let reader = state.withLock { state in
        state.inbound.giveUp()
        defer { state.reader = nil }
        return state.reader
      }
      reader?.resume(throwing: CancellationError())
      return
    }
    let writer = state.withLock { state -> Writer? in
      guard let index = state.writers.firstIndex(where: { $0.id == writerID }) else { return nil }
      return state.writers.remove(at: index).writer
    }
    writer?.resume(throwing: CancellationError())
  }
}

// MARK: - For the context and the writer

extension ServerCall {
  func nanosecondsLeft() -> Int64? {
    let left = withNative { native, _ in cgrpc_call_nanoseconds_left(native.handle) } ?? Int64.max
    return left == Int64.max ? nil : left
  }

  func addMetadata(_ metadata: Metadata, trailing: Bool) throws(RPCError) {
    let result = withNative { native, state -> Result<Void, RPCError> in
      guard trailing ? state.outbound.isOpen : !state.outbound.headersSent else {
        return .failure(
          RPCError(.failedPrecondition, "this metadata has left already; add it earlier"))
      }
      return Result { () throws(RPCError) in
        try native.add(metadata, to: trailing ? CGRPC_SENT_TRAILING : CGRPC_SENT_INITIAL)
      }
    }
    try result?.get()
  }

  func sendHeaders() {
    withNative { _, state in
      send(state.outbound.sendHeaders(), &state)
    }
  }
}
