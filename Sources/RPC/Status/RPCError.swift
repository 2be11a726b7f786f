/// How a call, a server or a client failed.
///
/// A handler throws it to end its call with that status; a client throws it when the status of a call
/// is not OK. The message reaches the other side, so it must not hold secrets.
public struct RPCError: Error, Sendable {
  /// What kind of failure it is.
  public var code: StatusCode
  /// What went wrong and what to do about it.
  public var message: String
  /// A serialised `google.rpc.Status` (the `grpc-status-details-bin` trailer), when there is one.
  public var details: [UInt8]?
  /// What the server sends with the status, without the details.
  public var trailingMetadata: Metadata
  /// The failure underneath; it stays in this process.
  public var cause: (any Error)?

  /// Makes an error with a code and a message.
  public init(
    _ code: StatusCode, _ message: String, details: [UInt8]? = nil,
    trailingMetadata: Metadata = Metadata(), cause: (any Error)? = nil
  ) {
    self.code = code
    self.message = message
    self.details = details
    self.trailingMetadata = trailingMetadata
    self.cause = cause
  }
}

extension RPCError: CustomStringConvertible {
  /// The code and the message.
  public var description: String {
    message.isEmpty ? "\(code)" : "\(code): \(message)"
  }
}

extension RPCError {
  /// The key of the trailer that carries a serialised `google.rpc.Status`.
  package static let detailsKey = "grpc-status-details-bin"

  /// What the client of a call learns about this error of its handler: errors of other types could
  /// hold anything, so their text stays on the server.
  package init(handlerError error: any Error) {
    switch error {
    case let error as RPCError: self = error
    case is CancellationError: self = RPCError(.cancelled, "the call was cancelled")
    default:
      self = RPCError(
        .internal, "the server failed to handle the call; its log says why", cause: error)
    }
  }
}
