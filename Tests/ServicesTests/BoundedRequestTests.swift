import JobQueue
import Messages
import RPC
import Services
import SwiftProtobuf
import Testing

@Suite("Requests and errors are bounded")
struct BoundedRequestTests {
  private static func violations(_ status: Google_Rpc_Status) throws -> [String] {
    let found = status.details.compactMap { try? Google_Rpc_BadRequest(unpackingAny: $0) }
    return try #require(found.first).fieldViolations.map(\.field)
  }

  @Test("a listing with any number of states, labels or letters is refused in few words")
  func listing() async throws {
    try await ServiceScene.run { scene in
      var request = Millrace_V1_ListJobsRequest()
      request.states = Array(repeating: .UNRECOGNIZED(99), count: 100_000)
      request.labels = Dictionary(uniqueKeysWithValues: (0..<65).map { ("\($0)", "") })
      request.model = String(repeating: "m", count: 256)
      let (error, status) = try await scene.failure(
        of: "millrace.v1.JobService/ListJobs", request)
      #expect(error.code == .invalidArgument)
      #expect(try Self.violations(status) == ["states", "labels", "model"])
      request.states = Array(repeating: .UNRECOGNIZED(99), count: 1_000_000)
      let (large, _) = try await scene.failure(of: "millrace.v1.JobService/ListJobs", request)
      #expect(large.code == .resourceExhausted)
      request = Millrace_V1_ListJobsRequest()
      request.states = Array(repeating: .queued, count: 64)
      let page: Millrace_V1_ListJobsResponse = try await scene.call(
        "millrace.v1.JobService/ListJobs", request)
      #expect(page.jobs.isEmpty)
    }
  }

  @Test("many bad fields fit into the trailers that any client accepts, and the rest is counted")
  func manyViolations() async throws {
    try await ServiceScene.run { scene in
      var batch = Millrace_V1_BatchSubmitJobsRequest()
      batch.requests = (0..<500).map { _ in
        ServiceScene.request { $0.spec.prompt = String(repeating: "a", count: 200) }
      }
      let (error, status) = try await scene.failure(
        of: "millrace.v1.JobService/BatchSubmitJobs", batch)
      #expect(error.code == .invalidArgument)
      let named = try Self.violations(status)
      #expect(named.count > 10 && named.first == "requests[0].spec.prompt")
      let info = try Google_Rpc_ErrorInfo(unpackingAny: status.details[0])
      #expect(info.metadata["omitted_violations"] == "\(500 - named.count)")
      #expect(error.message.hasSuffix("and 497 more"))
      // In base64, with the message beside it: under the 8 KiB that clients accept by default.
      let details = try #require(error.details)
      #expect(details.count * 4 / 3 + error.message.utf8.count * 3 < 7_500)
    }
  }

  @Test("what a client calls something is cut by bytes where an error repeats it")
  func longNames() async throws {
    // One character to the eye.
    let long = "e" + String(repeating: "\u{301}", count: 50_000)
    try await ServiceScene.run { scene in
      var get = Millrace_V1_GetJobRequest()
      get.id = long
      let (job, _) = try await scene.failure(of: "millrace.v1.JobService/GetJob", get)
      var model = Millrace_V1_GetModelRequest()
      model.name = long
      let (absent, _) = try await scene.failure(of: "millrace.v1.ModelService/GetModel", model)
      for error in [job, absent] {
        #expect(error.code == .notFound)
        #expect(error.message.utf8.count < 200)
        #expect(error.message.unicodeScalars.contains("\u{301}"))
      }
    }
  }
}
