import CGRPC
import Synchronization

/// One call that this process makes, from its start until its last tag has come back.
///
/// The status is asked for at the start, so its tag comes back in every case; nothing is started on
/// the call after that.
final class ClientCall: StreamCall, @unchecked Sendable {
  private struct Progress {
    var receiving = false
    var headersAsked = false
    var headersReceived = false
    /// The status has arrived.
    var outcome: Over?
  }

  private let client: Client
  private let waitsForReady: Bool
  private let progress = Mutex(Progress())

  init(native: NativeCall, client: Client, options: CallOptions) {
    self.client = client
    waitsForReady = options.waitsForReady
    super.init(
      native: native, windowBytes: client.configuration.writeWindowBytes,
      maxSendMessageBytes: client.configuration.maxSendMessageBytes)
  }

  /// Sends the headers, and with a request also that request and the end of the requests.
  func begin(with request: [UInt8]?) throws(RPCError) {
    let started = withNative { _, state in
      guard start(CGRPC_RECEIVE_STATUS, .ended, &state) else { return false }
      let batch = request.map { state.outbound.finish(with: $0) } ?? state.outbound.sendHeaders()
      send(batch, &state)
      return true
    }
    guard started == true else {
      client.callEnded(self)
      settle()
      throw RPCError(.internal, "the gRPC core refused to start a call")
    }
  }

  func finishWriting() {
    withNative { _, state in
      send(state.outbound.finish(), &state)
    }
  }

  func cancel() {
    withNative { native, _ in
      cgrpc_call_cancel(native.handle, StatusCode.cancelled.rawValue, "the client cancelled")
    }
  }

  /// What the server sent first; known with the first response or the status.
  var initialMetadata: Metadata {
    guard progress.withLock({ $0.headersReceived }) else { return Metadata() }
    return withNative { native, _ in native.receivedMetadata(CGRPC_RECEIVED_INITIAL) } ?? Metadata()
  }

  override func operations(for batch: OutboundQueue.Batch) -> cgrpc_batch {
    var operations = super.operations(for: batch)
    if batch.headers, waitsForReady { operations |= CGRPC_WAIT_FOR_READY }
    if batch.end { operations |= CGRPC_SEND_CLOSE }
    return operations
  }

  override func receiveOperations() -> cgrpc_batch {
    progress.withLock { progress in
      progress.receiving = true
      guard !progress.headersAsked else { return CGRPC_RECEIVE_MESSAGE }
      progress.headersAsked = true
      return CGRPC_RECEIVE_MESSAGE | CGRPC_RECEIVE_INITIAL_METADATA
    }
  }

  override func handle(_ purpose: Purpose, succeeded: Bool) {
    switch purpose {
    case .ended:
      let outcome = native.receivedStatus().map { Over.failed($0) } ?? .well
      state.withLock { $0.outbound.close() }
      progress.withLock { $0.outcome = outcome }
      endIfComplete()
      client.callEnded(self)
    case .sent:
      if succeeded { batchSent() } else { state.withLock { $0.outbound.close() } }
    case .received:
      let message = native.takeMessage()
      progress.withLock { progress in
        progress.receiving = false
        progress.headersReceived = true
      }
      // Without a message it is the status that ends the stream.
      if let message { deliver(message) }
      endIfComplete()
    case .arrived, .closed, .serverStopped: break
    }
    tagReturned()
  }

  /// The call is over when the status is there and no receive is under way that could bring more.
  private func endIfComplete() {
    let outcome = progress.withLock { $0.receiving ? nil : $0.outcome }
    if let outcome { end(outcome) }
  }

  override func waitCancelled(writerID: UInt64?) {
    cancel()
  }
}
