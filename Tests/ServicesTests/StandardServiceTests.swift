import Messages
import RPC
import Services
import SwiftProtobuf
import Testing

@Suite("The standard services")
struct StandardServiceTests {
  @Test("health tells each change to those who watch, and unknown services apart")
  func health() async throws {
    try await ServiceScene.run { scene in
      var request = Grpc_Health_V1_HealthCheckRequest()
      let stream = try scene.client.serverStreaming(
        "/grpc.health.v1.Health/Watch", try request.serializedBytes())
      var seen: [Grpc_Health_V1_HealthCheckResponse.ServingStatus] = []
      for try await bytes in stream {
        seen.append(try Grpc_Health_V1_HealthCheckResponse(serializedBytes: bytes).status)
        if seen.count == 1 { scene.board.set(.serving) }
        if seen.count == 2 { scene.board.set(.notServing) }
        if seen.count == 3 { break }
      }
      #expect(seen == [.notServing, .serving, .notServing])
      scene.board.set(.serving)
      request.service = "millrace.v1.JobService"
      let known: Grpc_Health_V1_HealthCheckResponse = try await scene.call(
        "grpc.health.v1.Health/Check", request)
      #expect(known.status == .serving)
      request.service = "nothing"
      do {
        let _: Grpc_Health_V1_HealthCheckResponse = try await scene.call(
          "grpc.health.v1.Health/Check", request)
        Issue.record("an unknown service was known")
      } catch let error as RPCError {
        #expect(error.code == .notFound)
      }
    }
  }

  @Test("reflection finds files by name and by every kind of symbol, with their imports")
  func reflection() async throws {
    let questions: [(Grpc_Reflection_V1_ServerReflectionRequest.OneOf_MessageRequest, String)] = [
      (.fileByFilename("millrace/v1/job.proto"), "millrace/v1/job.proto"),
      (.fileContainingSymbol("millrace.v1.JobService"), "millrace/v1/job_service.proto"),
      (.fileContainingSymbol("millrace.v1.JobService.WatchJob"), "millrace/v1/job_service.proto"),
      (.fileContainingSymbol("millrace.v1.Job"), "millrace/v1/job.proto"),
      (.fileContainingSymbol("millrace.v1.TokenLogprobs.Candidate"), "millrace/v1/job.proto"),
      (.fileContainingSymbol("millrace.v1.JOB_STATE_QUEUED"), "millrace/v1/job.proto"),
    ]
    try await ServiceScene.run { scene in
      let stream = try scene.client.bidirectional(
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")
      let answers = stream.makeAsyncIterator()
      for (question, file) in questions {
        var request = Grpc_Reflection_V1_ServerReflectionRequest()
        request.messageRequest = question
        try await stream.write(try request.serializedBytes())
        let received = try await answers.next()
        let bytes = try #require(received)
        let answer = try Grpc_Reflection_V1_ServerReflectionResponse(serializedBytes: bytes)
        #expect(answer.originalRequest == request)
        let files = try answer.fileDescriptorResponse.fileDescriptorProto.map {
          try Google_Protobuf_FileDescriptorProto(serializedBytes: $0)
        }
        #expect(files.first?.name == file)
        let names = Set(files.map(\.name))
        #expect(files.allSatisfy { names.isSuperset(of: $0.dependency) })
      }
      var unknown = Grpc_Reflection_V1_ServerReflectionRequest()
      unknown.fileContainingSymbol = "no.Such"
      try await stream.write(try unknown.serializedBytes())
      let received = try await answers.next()
      let bytes = try #require(received)
      let answer = try Grpc_Reflection_V1_ServerReflectionResponse(serializedBytes: bytes)
      #expect(answer.errorResponse.errorCode == StatusCode.notFound.rawValue)
      stream.finishWriting()
      let afterEnd = try await answers.next()
      #expect(afterEnd == nil)
    }
  }
}
