import CGRPC
import Synchronization

/// A client of one server: a connection that is made when it is needed and made again when it is lost,
/// with any number of calls at once.
///
/// It holds a thread, so shut it down when it is no longer needed.
public final class Client: Sendable {
  private struct Life {
    var channel: cgrpc_channel?
    var calls: [ObjectIdentifier: ClientCall] = [:]
    var idle: OneShotSignal?
  }

  /// What the client was made with.
  public let configuration: ClientConfiguration
  private let queue: CompletionQueue
  private let life: Mutex<Life>

  /// Makes a client; it connects with the first call.
  ///
  /// Throws INVALID_ARGUMENT for certificates that cannot be used, RESOURCE_EXHAUSTED when there is
  /// no thread to be had.
  public init(configuration: ClientConfiguration) throws(RPCError) {
    guard !configuration.target.isEmpty, !configuration.target.utf8.contains(0) else {
      throw RPCError(.invalidArgument, "the client has no target; give it HOST:PORT or unix:PATH")
    }
    CoreRuntime.start()
    let credentials = try configuration.credentials.make()
    defer { cgrpc_channel_credentials_destroy(credentials) }
    self.configuration = configuration
    queue = try CompletionQueue(name: "rpc-client")
    let arguments = configuration.makeArguments()
    life = Mutex(
      Life(channel: cgrpc_channel_create(configuration.target, credentials, arguments.handle)))
  }

  deinit {
    let channel = life.withLock { life in
      defer { life.channel = nil }
      return life.channel
    }
    if let channel {
      cgrpc_channel_destroy(channel)
      queue.abandon()
    }
  }

  /// The state of the connection. With `connecting`, an idle one starts to connect.
  public func connectivityState(connecting: Bool = false) -> ConnectivityState {
    life.withLock { life in
      guard let channel = life.channel else { return .shutdown }
      return ConnectivityState(cgrpc_channel_current_state(channel, connecting))
    }
  }

  /// Cancels running calls, closes the connection and returns when the thread is gone. Later calls
  /// fail with UNAVAILABLE.
  public func shutDown() async {
    let (channel, calls, idle) = life.withLock { life in
      defer { life.channel = nil }
      let idle = life.idle ?? OneShotSignal()
      if life.calls.isEmpty { idle.send() }
      life.idle = idle
      return (life.channel, Array(life.calls.values), idle)
    }
    for call in calls { call.cancel() }
    await idle.wait()
    if let channel { cgrpc_channel_destroy(channel) }
    await queue.close()
  }

  /// Makes a call and starts it, unless the client has been shut down or the call's time is over.
  func begin(
    _ path: String, _ options: CallOptions, _ start: (ClientCall) throws(RPCError) -> Void
  ) throws(RPCError) -> ClientCall {
    // The core looks at the time only now and then: an answer may be quicker.
    guard options.timeoutNanoseconds > 0 else {
      throw RPCError(.deadlineExceeded, "the call's deadline had passed before it began")
    }
    let call = try life.withLock { life throws(RPCError) in
      guard let channel = life.channel else {
        throw RPCError(.unavailable, "the client has been shut down; make a new one")
      }
      let path = Array(path.utf8)
      let native = NativeCall(
        handle: cgrpc_channel_call(
          channel, queue.handle, path, path.count, options.timeoutNanoseconds))
      let call = ClientCall(native: native, client: self, options: options)
      do throws(RPCError) {
        try native.add(options.metadata, to: CGRPC_SENT_INITIAL)
      } catch {
        native.destroy()
        throw error
      }
      life.calls[ObjectIdentifier(call)] = call
      return call
    }
    try start(call)
    return call
  }

  func callEnded(_ call: ClientCall) {
    let idle = life.withLock { life in
      life.calls[ObjectIdentifier(call)] = nil
      return life.calls.isEmpty ? life.idle : nil
    }
    idle?.send()
  }
}

extension ClientConfiguration {
  func makeArguments() -> CoreArguments {
    let arguments = CoreArguments()
    arguments.set("grpc.max_receive_message_length", maxReceiveMessageBytes)
    arguments.set("grpc.max_send_message_length", maxSendMessageBytes)
    arguments.set("grpc.max_metadata_size", maxMetadataBytes)
    arguments.set("grpc.initial_reconnect_backoff_ms", initialReconnectBackoff)
    // The core's name for it misleads: it bounds an attempt, not the wait before the next.
    arguments.set("grpc.min_reconnect_backoff_ms", connectTimeout)
    arguments.set("grpc.max_reconnect_backoff_ms", maxReconnectBackoff)
    // Two clients of one process do not share their connection, nor its failures.
    arguments.set("grpc.use_local_subchannel_pool", true)
    arguments.set("grpc.enable_http_proxy", usesProxyOfEnvironment)
    arguments.set(keepalive)
    arguments.setCompressionOff()
    if let serverNameOverride {
      arguments.set("grpc.ssl_target_name_override", serverNameOverride)
    }
    return arguments
  }
}
