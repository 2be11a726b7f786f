import CGRPC
import Logging
import Synchronization

extension Server {
  /// Listens on all addresses and starts the threads. Returns where it listens, with the ports that
  /// the system gave.
  ///
  /// Throws UNAVAILABLE when it cannot listen somewhere, INVALID_ARGUMENT for certificates that it
  /// cannot use, FAILED_PRECONDITION after an earlier start.
  @discardableResult
  public func start() throws(RPCError) -> [SocketAddress] {
    try startGate.withLock { _ throws(RPCError) in try startOnce() }
  }

  private func startOnce() throws(RPCError) -> [SocketAddress] {
    let idle = life.withLock { life in
      guard case .idle = life.phase else { return false }
      life.phase = .stopped
      return true
    }
    guard idle else {
      throw RPCError(.failedPrecondition, "a server starts once; make a new one to start again")
    }
    do {
      return try build()
    } catch {
      drained.send()
      throw error
    }
  }

  private func build() throws(RPCError) -> [SocketAddress] {
    CoreRuntime.start()
    // Refuses bad PEM before there is anything to clean up.
    let credentials = try configuration.credentials.make()
    defer { cgrpc_server_credentials_destroy(credentials) }
    let handle = makeHandle()
    var queues: [CompletionQueue] = []
    do {
      for index in 0..<configuration.completionQueues {
        queues.append(try CompletionQueue(name: "rpc-server-\(index)"))
      }
      for queue in queues { cgrpc_server_add_queue(handle, queue.handle) }
      let registered = try register(handle)
      let addresses = try listen(handle, credentials)
      cgrpc_server_start(handle)
      life.withLock {
        $0.phase = .running(Running(handle: handle, queues: queues, addresses: addresses))
      }
      ask(handle, queues, registered)
      logger.info("listening", metadata: ["addresses": "\(addresses)"])
      return addresses
    } catch {
      abandon(handle, queues)
      throw error
    }
  }

  private func makeHandle() -> cgrpc_server {
    let arguments = CoreArguments()
    arguments.set("grpc.max_receive_message_length", configuration.maxReceiveMessageBytes)
    arguments.set("grpc.max_send_message_length", configuration.maxSendMessageBytes)
    arguments.set("grpc.max_metadata_size", configuration.maxMetadataBytes)
    // A connection may carry all calls that are let in, and some more, to be refused: a client would
    // hold further ones back without a word, urgent ones too.
    arguments.set(
      "grpc.max_concurrent_streams",
      configuration.maxConcurrentCalls + 2 * configuration.reservedCalls)
    arguments.setMemoryQuota(bytes: configuration.maxConnectionBytes)
    // Two servers on one port would share its clients by chance: let the second one fail instead.
    arguments.set("grpc.so_reuseport", false)
    arguments.set(configuration.keepalive)
    arguments.set(
      "grpc.http2.min_ping_interval_without_data_ms", configuration.keepalive.minimumPeerInterval)
    arguments.set("grpc.http2.max_ping_strikes", 0)
    arguments.setCompressionOff()
    return cgrpc_server_create(arguments.handle)
  }

  private func register(_ handle: cgrpc_server) throws(RPCError) -> [RegisteredMethod] {
    var registered: [RegisteredMethod] = []
    for method in methods {
      let name = cgrpc_server_register(handle, method.path, method.readsOneMessage)
      guard cgrpc_method_is_valid(name) else {
        throw RPCError(.internal, "the gRPC core refused to register \(method.path)")
      }
      registered.append(RegisteredMethod(handler: method, handle: name))
    }
    return registered
  }

  private func listen(
    _ handle: cgrpc_server, _ credentials: cgrpc_server_credentials
  ) throws(RPCError) -> [SocketAddress] {
    var bound: [SocketAddress] = []
    for address in configuration.addresses {
      // The core removes a socket that is there already, also one that somebody listens on.
      if case .unix(let path) = address, UnixSocket.isInUse(path) {
        throw RPCError(
          .unavailable,
          "cannot listen on \(address): another program listens there; choose another path")
      }
      let port = Int(cgrpc_server_listen(handle, address.description, credentials))
      guard port > 0 else { throw refusal(handle, credentials, address) }
      switch address {
      case .tcp(let host, _): bound.append(.tcp(host: host, port: port))
      case .unix: bound.append(address)
      }
    }
    return bound
  }

  /// Why the core would not listen, which it only tells its log.
  private func refusal(
    _ handle: cgrpc_server, _ credentials: cgrpc_server_credentials, _ address: SocketAddress
  ) -> RPCError {
    // Credentials that do not work, work nowhere: try a port that the system chooses.
    if case .tls = configuration.credentials.kind,
      cgrpc_server_listen(handle, "127.0.0.1:0", credentials) <= 0
    {
      return RPCError(
        .invalidArgument,
        "the server's certificate chain and private key cannot be used; they must fit each other")
    }
    return RPCError(
      .unavailable,
      "cannot listen on \(address); another program may be using it, or this user may not")
  }

  private func ask(
    _ handle: cgrpc_server, _ queues: [CompletionQueue], _ registered: [RegisteredMethod]
  ) {
    let slotsForUnknownMethods = 16
    for queue in queues {
      for method in registered {
        for _ in 0..<configuration.preregisteredCallsPerQueue {
          RequestSlot(server: self, handle: handle, queue: queue, method: method).ask()
        }
      }
      for _ in 0..<slotsForUnknownMethods {
        RequestSlot(server: self, handle: handle, queue: queue, method: nil).ask()
      }
    }
  }

  /// Undoes half a start. The core wants a server to be started and shut down before it is destroyed.
  private func abandon(_ handle: cgrpc_server, _ queues: [CompletionQueue]) {
    guard let queue = queues.first else {
      cgrpc_server_destroy(handle)
      return
    }
    let abandoned = AbandonedServer(server: self, handle: handle, queues: queues)
    cgrpc_server_shutdown(handle, queue.handle, Tag.retaining(abandoned, .serverStopped))
  }
}

/// A server that could not start, until the core is done with it.
private final class AbandonedServer: EventTarget, @unchecked Sendable {
  private let server: Server
  private let handle: cgrpc_server
  private let queues: [CompletionQueue]

  init(server: Server, handle: cgrpc_server, queues: [CompletionQueue]) {
    self.server = server
    self.handle = handle
    self.queues = queues
  }

  override func handle(_ purpose: Purpose, succeeded: Bool) {
    server.waitForGate()
    cgrpc_server_destroy(handle)
    for queue in queues { queue.abandon() }
  }
}
