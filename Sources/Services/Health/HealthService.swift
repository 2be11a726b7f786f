public import Logging
import Messages
public import RPC

/// The standard `grpc.health.v1.Health`.
public struct HealthService: Sendable {
  let board: HealthBoard
  let logger: Logger

  public init(board: HealthBoard, logger: Logger) {
    self.board = board
    self.logger = logger
  }

  public var methods: [MethodHandler] {
    let methods = TypedMethods(service: "grpc.health.v1.Health", logger: logger)
    return [methods.unary("Check", check).urgent(), methods.serverStreaming("Watch", watch)]
  }

  private func check(
    _ request: Grpc_Health_V1_HealthCheckRequest, _ context: ServerContext
  ) async throws -> Grpc_Health_V1_HealthCheckResponse {
    guard isKnown(request.service) else {
      throw RPCError(.notFound, "there is no service \(request.service.cut(toBytes: 128))")
    }
    return response(board.status.message)
  }

  private func watch(
    _ request: Grpc_Health_V1_HealthCheckRequest, _ context: ServerContext,
    _ send: (Grpc_Health_V1_HealthCheckResponse) async throws -> Void
  ) async throws {
    let isKnown = isKnown(request.service)
    for await status in board.changes() {
      try await send(response(isKnown ? status.message : .serviceUnknown))
    }
    try Task.checkCancellation()
    throw RPCError(.unavailable, "the server is shutting down")
  }

  private func isKnown(_ service: String) -> Bool {
    service.isEmpty || board.services.contains(service)
  }

  private func response(
    _ status: Grpc_Health_V1_HealthCheckResponse.ServingStatus
  ) -> Grpc_Health_V1_HealthCheckResponse {
    var response = Grpc_Health_V1_HealthCheckResponse()
    response.status = status
    return response
  }
}

extension HealthBoard.Status {
  var message: Grpc_Health_V1_HealthCheckResponse.ServingStatus {
    switch self {
    case .serving: .serving
    case .notServing: .notServing
    }
  }
}
