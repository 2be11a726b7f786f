import Messages
import RPC
import Services
import SwiftProtobuf
import Testing

@Suite("Health, once the server is closing")
struct HealthServiceTests {
  private static func request(_ service: String = "") -> Grpc_Health_V1_HealthCheckRequest {
    var request = Grpc_Health_V1_HealthCheckRequest()
    request.service = service
    return request
  }

  private static func status(
    _ bytes: [UInt8]?
  ) throws -> Grpc_Health_V1_HealthCheckResponse.ServingStatus {
    try Grpc_Health_V1_HealthCheckResponse(serializedBytes: #require(bytes)).status
  }

  @Test("says NOT_SERVING to each check, whatever is set afterwards")
  func check() async throws {
    try await ServiceScene.run { scene in
      scene.board.set(.serving)
      scene.board.close()
      for _ in 0..<2 {
        for service in ["", "millrace.v1.JobService"] {
          let answer: Grpc_Health_V1_HealthCheckResponse = try await scene.call(
            "grpc.health.v1.Health/Check", Self.request(service))
          #expect(answer.status == .notServing)
        }
        scene.board.set(.serving)
        scene.board.close()
      }
    }
  }

  @Test("tells those who watch NOT_SERVING, and ends their streams as UNAVAILABLE")
  func runningWatch() async throws {
    try await ServiceScene.run { scene in
      scene.board.set(.serving)
      let stream = try scene.client.serverStreaming(
        "/grpc.health.v1.Health/Watch", try Self.request().serializedBytes())
      let answers = stream.makeAsyncIterator()
      #expect(try Self.status(try await answers.next()) == .serving)
      scene.board.close()
      #expect(try Self.status(try await answers.next()) == .notServing)
      let error = try await #require(throws: RPCError.self) { _ = try await answers.next() }
      #expect(error.code == .unavailable)
    }
  }

  @Test(
    "tells those who come now the same, and an unknown service apart",
    arguments: [
      ("", Grpc_Health_V1_HealthCheckResponse.ServingStatus.notServing),
      ("millrace.v1.JobService", .notServing), ("nothing", .serviceUnknown),
    ])
  func lateWatch(
    service: String, expected: Grpc_Health_V1_HealthCheckResponse.ServingStatus
  ) async throws {
    try await ServiceScene.run { scene in
      scene.board.set(.serving)
      scene.board.close()
      let stream = try scene.client.serverStreaming(
        "/grpc.health.v1.Health/Watch", try Self.request(service).serializedBytes())
      let answers = stream.makeAsyncIterator()
      #expect(try Self.status(try await answers.next()) == expected)
      let error = try await #require(throws: RPCError.self) { _ = try await answers.next() }
      #expect(error.code == .unavailable)
    }
  }
}
