import CGRPC

/// What a handler knows about its call. Of use until the handler returns; after that, what the client
/// sent reads as empty.
///
/// When the client cancels, goes away or its deadline passes, the handler's task is cancelled.
public struct ServerContext: Sendable {
  let call: ServerCall

  /// The path of the method.
  public var method: String { call.method }

  /// Where the client is, as `ipv4:127.0.0.1:40000` or `unix:`.
  public var peer: String { call.withNative { native, _ in native.peer() } ?? "" }

  /// The common name in the client's certificate, when it had to show one.
  public var peerCertificateName: String? {
    call.withNative { native, _ in native.peerCertificateName() } ?? nil
  }

  /// The headers that the client sent.
  public var requestMetadata: Metadata {
    call.withNative { native, _ in native.receivedMetadata(CGRPC_RECEIVED_INITIAL) } ?? Metadata()
  }

  /// When the client stops waiting.
  public var deadline: ContinuousClock.Instant? {
    call.nanosecondsLeft().map { .now + .nanoseconds($0) }
  }

  /// How long the client still waits, negative when it no longer does.
  public var timeRemaining: Duration? {
    call.nanosecondsLeft().map { .nanoseconds($0) }
  }

  /// Adds to the headers of the answer. They leave with the first message or the status.
  ///
  /// Throws FAILED_PRECONDITION when they have left, INVALID_ARGUMENT for what gRPC cannot carry.
  public func addInitialMetadata(_ metadata: Metadata) throws(RPCError) {
    try call.addMetadata(metadata, trailing: false)
  }

  /// Adds to what is sent with the status, whatever it will be.
  ///
  /// Throws FAILED_PRECONDITION when it has left, INVALID_ARGUMENT for what gRPC cannot carry.
  public func addTrailingMetadata(_ metadata: Metadata) throws(RPCError) {
    try call.addMetadata(metadata, trailing: true)
  }
}
