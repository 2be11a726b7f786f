/// The requests of a client-streaming or bidirectional call, in order. One task may read at a time.
///
/// It ends when the client has sent all, and throws CANCELLED or DEADLINE_EXCEEDED when the call is
/// over before that: half a stream never looks like a whole one.
public struct RequestStream: AsyncSequence, Sendable {
  let call: ServerCall

  /// Reads on demand, so that a slow handler holds back its own client.
  public struct AsyncIterator: AsyncIteratorProtocol {
    let call: ServerCall

    /// The next request, nil after the last.
    public func next() async throws -> [UInt8]? {
      try await call.read()
    }
  }

  /// Starts, or goes on where an earlier iterator stopped.
  public func makeAsyncIterator() -> AsyncIterator {
    AsyncIterator(call: call)
  }
}
