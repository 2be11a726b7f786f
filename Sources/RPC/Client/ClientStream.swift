import CGRPC

/// A call of a client with its responses as a sequence. When nobody holds it any more, it is
/// cancelled.
public struct ClientStream: AsyncSequence, Sendable {
  /// Cancels the call at the end of its life; for a call that has ended that does nothing.
  final class Handle: Sendable {
    let call: ClientCall

    init(call: ClientCall) {
      self.call = call
    }

    deinit {
      call.cancel()
      call.settle()
    }
  }

  let handle: Handle

  /// Receives on demand: a client that stops reading holds up the server's writer.
  public struct AsyncIterator: AsyncIteratorProtocol {
    let handle: Handle

    /// The next response, nil after the last when the status is OK.
    ///
    /// Throws `RPCError` with the call's status otherwise. Cancelling the task cancels the call.
    public func next() async throws -> [UInt8]? {
      try await handle.call.read()
    }
  }

  /// Starts, or goes on where an earlier iterator stopped. One task may read at a time.
  public func makeAsyncIterator() -> AsyncIterator {
    AsyncIterator(handle: handle)
  }

  /// Sends a request; for calls made with `Client.bidirectional`. Waits while the window is full.
  ///
  /// Throws the call's status when it is over, CANCELLED when `finishWriting` came before.
  public func write(_ message: [UInt8]) async throws {
    try await handle.call.write(message)
  }

  /// Tells the server that no more requests follow.
  public func finishWriting() {
    handle.call.finishWriting()
  }

  /// Ends the call now, with CANCELLED.
  public func cancel() {
    handle.call.cancel()
  }

  /// What the server sent before its first response; empty until that has been read.
  public var initialMetadata: Metadata {
    handle.call.initialMetadata
  }
}
