/// One method of a service: its path, its shape and the code that answers.
public struct MethodHandler: Sendable {
  /// Answers one request with one response.
  public typealias Unary =
    @Sendable (_ request: [UInt8], _ context: ServerContext) async throws -> [UInt8]
  /// Answers one request with a stream.
  public typealias ServerStreaming =
    @Sendable (
      _ request: [UInt8], _ context: ServerContext, _ responses: ResponseWriter
    ) async throws -> Void
  /// Answers a stream with one response.
  public typealias ClientStreaming =
    @Sendable (_ requests: RequestStream, _ context: ServerContext) async throws -> [UInt8]
  /// Answers a stream with a stream.
  public typealias Bidirectional =
    @Sendable (
      _ requests: RequestStream, _ context: ServerContext, _ responses: ResponseWriter
    ) async throws -> Void

  /// Where a handler runs.
  public enum Placement: Sendable {
    /// On the thread that received the call: the fastest, for handlers that compute little between
    /// two waits. One that computes for long holds up other calls of the same queue.
    case queueThread
    /// On Swift's own threads, for handlers that compute for milliseconds.
    case globalExecutor
  }

  private init(path: String, placement: Placement, body: Body) {
    self.path = path
    self.placement = placement
    self.body = body
  }

  enum Body: Sendable {
    case unary(Unary)
    case serverStreaming(ServerStreaming)
    case clientStreaming(ClientStreaming)
    case bidirectional(Bidirectional)
  }

  /// The path, such as `/millrace.v1.JobService/GetJob`.
  public let path: String
  /// Where the handler runs.
  public let placement: Placement
  /// Whether its calls are let in when the ordinary places are taken.
  public private(set) var isUrgent = false
  let body: Body

  /// Whether a call arrives together with its only request.
  var readsOneMessage: Bool {
    switch body {
    case .unary, .serverStreaming: true
    case .clientStreaming, .bidirectional: false
    }
  }

  /// The same method, let in also when the server's ordinary places are taken
  /// (`ServerConfiguration.reservedCalls`). For short calls that help against overload.
  public func urgent() -> MethodHandler {
    var method = self
    method.isUrgent = true
    return method
  }

  /// A method with one request and one response.
  public static func unary(
    _ path: String, on placement: Placement = .queueThread, _ body: @escaping Unary
  ) -> MethodHandler {
    MethodHandler(path: path, placement: placement, body: .unary(body))
  }

  /// A method with one request and a stream of responses.
  public static func serverStreaming(
    _ path: String, on placement: Placement = .queueThread, _ body: @escaping ServerStreaming
  ) -> MethodHandler {
    MethodHandler(path: path, placement: placement, body: .serverStreaming(body))
  }

  /// A method with a stream of requests and one response.
  public static func clientStreaming(
    _ path: String, on placement: Placement = .queueThread, _ body: @escaping ClientStreaming
  ) -> MethodHandler {
    MethodHandler(path: path, placement: placement, body: .clientStreaming(body))
  }

  /// A method with a stream of requests and a stream of responses.
  public static func bidirectional(
    _ path: String, on placement: Placement = .queueThread, _ body: @escaping Bidirectional
  ) -> MethodHandler {
    MethodHandler(path: path, placement: placement, body: .bidirectional(body))
  }
}
