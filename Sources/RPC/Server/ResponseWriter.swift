/// Where a streaming handler writes its responses, in order; safe to use from several tasks.
public struct ResponseWriter: Sendable {
  let call: ServerCall

  /// Sends a message, and returns when the core has taken it or it has a place in the call's window
  /// (`ServerConfiguration.writeWindowBytes`). A client that reads slowly so holds up this writer and
  /// no other.
  ///
  /// Throws CANCELLED or DEADLINE_EXCEEDED when the call is over, RESOURCE_EXHAUSTED for a message
  /// over the size limit, and `CancellationError` when the task is cancelled while it waits.
  public func write(_ message: [UInt8]) async throws {
    try await call.write(message)
  }

  /// Sends the headers now, ahead of the first message, so that the client knows that the call is
  /// accepted.
  public func sendInitialMetadata() {
    call.sendHeaders()
  }
}
