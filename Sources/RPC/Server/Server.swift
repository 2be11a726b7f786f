import CGRPC
public import Logging
import Synchronization

/// A gRPC server over raw bytes.
///
/// ```swift
/// let server = try Server(
///   configuration: ServerConfiguration(addresses: [.tcp(host: "127.0.0.1", port: 0)]),
///   methods: [.unary("/echo.Echo/Say") { request, _ in request }], logger: logger)
/// let addresses = try server.start()
/// try await server.run()
/// ```
///
/// Life: idle -> running -> draining -> stopped. Once started it holds threads and lives on until it
/// is stopped by `shutDownGracefully` or by the cancellation of the task in `run`.
public final class Server: Sendable {
  enum Phase {
    case idle
    case running(Running)
    case draining(Running)
    case stopped
  }

  struct Running: Sendable {
    let handle: cgrpc_server
    let queues: [CompletionQueue]
    let addresses: [SocketAddress]
  }

  struct Life {
    var phase = Phase.idle
    /// Calls that have arrived and not ended, refused ones too.
    var activeCalls = 0
    var load: CallLoad
    /// The core has no connection any more.
    var disconnected = false
    /// What is left to free once all calls have ended.
    var toTearDown: Running?
    var isTearingDown = false
  }

  /// What becomes of a call that arrives.
  enum Admission {
    case admitted
    case refused(CallLoad.Refusal)
    case stopped
  }

  /// What the server was made with.
  public let configuration: ServerConfiguration
  let methods: [MethodHandler]
  let logger: Logger
  let life: Mutex<Life>
  /// Keeps a stop from coming into the middle of a start, and the end from coming into a stop.
  let startGate = Mutex(())
  let drained = OneShotSignal()
  let stopped = OneShotSignal()

  /// Checks what can be known before the start.
  ///
  /// Throws INVALID_ARGUMENT for settings out of range and for two methods of one path.
  public init(
    configuration: ServerConfiguration, methods: [MethodHandler], logger: Logger
  ) throws(RPCError) {
    try configuration.check()
    var paths: Set<String> = []
    for method in methods {
      guard method.path.hasPrefix("/"), !method.path.utf8.contains(0) else {
        throw RPCError(
          .invalidArgument, "method path \(method.path) must have the form /package.Service/Method")
      }
      guard paths.insert(method.path).inserted else {
        throw RPCError(.invalidArgument, "method \(method.path) is there twice; keep one of them")
      }
    }
    self.configuration = configuration
    self.methods = methods
    self.logger = logger
    life = Mutex(Life(load: CallLoad(configuration)))
  }

  /// Calls that are under way.
  public var activeCalls: Int { life.withLock { $0.activeCalls } }

  /// Bytes of requests that running calls hold.
  public var requestBytes: Int { life.withLock { $0.load.requestBytes } }

  func admit(_ share: CallLoad.Share) -> Admission {
    life.withLock { life in
      if case .stopped = life.phase { return .stopped }
      life.activeCalls += 1
      return life.load.take(share).map { .refused($0) } ?? .admitted
    }
  }

  /// - Parameter share: what the call was let in with; nil for one that was refused.
  func callEnded(_ share: CallLoad.Share?) {
    let last = life.withLock { life in
      life.activeCalls -= 1
      if let share { life.load.give(share) }
      return life.stopIfDrained()
    }
    if last { drained.send() }
  }
}

extension Server.Life {
  /// The moment after which no call is admitted and none is under way.
  mutating func stopIfDrained() -> Bool {
    guard disconnected, activeCalls == 0, case .draining(let running) = phase else { return false }
    phase = .stopped
    toTearDown = running
    isTearingDown = true
    return true
  }
}

extension ServerConfiguration {
  fileprivate func check() throws(RPCError) {
    let limits = [
      ("completionQueues", completionQueues), ("writeWindowBytes", writeWindowBytes),
      ("preregisteredCallsPerQueue", preregisteredCallsPerQueue),
      ("maxReceiveMessageBytes", maxReceiveMessageBytes),
      ("maxSendMessageBytes", maxSendMessageBytes), ("maxMetadataBytes", maxMetadataBytes),
      ("maxConcurrentCalls", maxConcurrentCalls), ("reservedCalls", reservedCalls),
    ]
    for (name, value) in limits where !(1...Int(Int32.max)).contains(value) {
      throw RPCError(.invalidArgument, "\(name) is \(value); it must be at least 1 and fit 31 bits")
    }
    for (name, value) in [
      ("maxRequestBytes", maxRequestBytes), ("maxConnectionBytes", maxConnectionBytes),
    ] where value < maxReceiveMessageBytes {
      throw RPCError(
        .invalidArgument,
        "\(name) is \(value); it must hold the longest message, \(maxReceiveMessageBytes) bytes")
    }
    guard !addresses.isEmpty else {
      throw RPCError(.invalidArgument, "the server has no address to listen on; give it one")
    }
  }
}
