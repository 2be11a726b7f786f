import Foundation
import JobQueue
import Messages
import RPC
import Services
import SwiftProtobuf
import Testing

@Suite("The job service")
struct JobServiceTests {
  @Test("answers a submission with the whole job, defaults and seed filled in")
  func submit() async throws {
    try await ServiceScene.run { scene in
      let job: Millrace_V1_Job = try await scene.call(
        "millrace.v1.JobService/SubmitJob", ServiceScene.request { $0.requestID = "r1" })
      #expect(JobID(job.id) != nil)
      #expect(job.state == .queued)
      #expect(job.spec.sampling.hasSeed)
      #expect(job.spec.sampling.maxTokens == JobLimits.defaultMaxTokens)
      #expect(job.spec.maxAttempts == JobLimits.defaultMaxAttempts)
      let again: Millrace_V1_Job = try await scene.call(
        "millrace.v1.JobService/SubmitJob",
        ServiceScene.request {
          $0.requestID = "r1"
          $0.spec.prompt = "other"
        })
      #expect(again == job)
      let other: Millrace_V1_Job = try await scene.call(
        "millrace.v1.JobService/SubmitJob", ServiceScene.request { $0.requestID = "r1" },
        tenant: "other")
      #expect(other.id != job.id)
    }
  }

  @Test("a spec survives the way through the store unchanged")
  func roundTrip() async throws {
    try await ServiceScene.run { scene in
      let request = ServiceScene.request {
        $0.spec.sampling.maxTokens = 7
        $0.spec.sampling.temperature = 0.5
        $0.spec.sampling.topP = 0.9
        $0.spec.sampling.topK = 40
        $0.spec.sampling.minP = 0.05
        $0.spec.sampling.repetitionPenalty = 1.1
        $0.spec.sampling.presencePenalty = 0.2
        $0.spec.sampling.frequencyPenalty = -0.3
        $0.spec.sampling.seed = .max
        $0.spec.sampling.stop = ["a", "b"]
        $0.spec.sampling.logprobs = 3
        $0.spec.sampling.logitBias = [1: 2.5]
        $0.spec.sampling.sample = Millrace_V1_SampleStrategy()
        $0.spec.sampling.n = 1
        $0.spec.speculation.mode = .off
        $0.spec.priority = -3
        $0.spec.maxAttempts = 4
        $0.spec.runAfter = Google_Protobuf_Timestamp(seconds: 4_000_000_000, nanos: 1_000)
        $0.spec.deadline = Google_Protobuf_Timestamp(seconds: 5_000_000_000)
        $0.spec.labels = ["k": "v"]
      }
      let job: Millrace_V1_Job = try await scene.call(
        "millrace.v1.JobService/SubmitJob", request)
      var spec = request.spec
      spec.input = nil
      #expect(job.spec == spec)
      var get = Millrace_V1_GetJobRequest()
      get.id = job.id
      let again: Millrace_V1_Job = try await scene.call("millrace.v1.JobService/GetJob", get)
      #expect(again.spec == request.spec)
    }
  }

  @Test("only GetJob's answer carries the input")
  func inputs() async throws {
    try await ServiceScene.run { scene in
      var batch = Millrace_V1_BatchSubmitJobsRequest()
      batch.requests = [ServiceScene.request()]
      let submitted: Millrace_V1_BatchSubmitJobsResponse = try await scene.call(
        "millrace.v1.JobService/BatchSubmitJobs", batch)
      let id = try #require(submitted.jobs.first?.id)
      var get = Millrace_V1_GetJobRequest()
      get.id = id
      let whole: Millrace_V1_Job = try await scene.call("millrace.v1.JobService/GetJob", get)
      #expect(whole.spec.prompt == "Once")
      var many = Millrace_V1_BatchGetJobsRequest()
      many.ids = [id]
      let got: Millrace_V1_BatchGetJobsResponse = try await scene.call(
        "millrace.v1.JobService/BatchGetJobs", many)
      let listed: Millrace_V1_ListJobsResponse = try await scene.call(
        "millrace.v1.JobService/ListJobs", Millrace_V1_ListJobsRequest())
      var cancel = Millrace_V1_CancelJobRequest()
      cancel.id = id
      let cancelled: Millrace_V1_Job = try await scene.call(
        "millrace.v1.JobService/CancelJob", cancel)
      var watch = Millrace_V1_WatchJobRequest()
      watch.id = id
      var events: [Millrace_V1_Job] = []
      for try await bytes in try scene.client.serverStreaming(
        "/millrace.v1.JobService/WatchJob", try watch.serializedBytes())
      {
        events.append(try Millrace_V1_JobEvent(serializedBytes: bytes).finished)
      }
      let lean = submitted.jobs + got.jobs + listed.jobs + [cancelled] + events
      #expect(lean.count == 5)
      for job in lean {
        #expect(job.id == id)
        #expect(job.spec.input == nil)
        #expect(job.spec.model == "story")
      }
    }
  }

  @Test("a known request id is answered with its job, whatever the retry looks like")
  func retry() async throws {
    try await ServiceScene.run(maxQueuedJobs: 2) { scene in
      var generator = SystemRandomNumberGenerator()
      // Stored when the model was served and the deadline was still to come.
      let early = Submission(
        id: JobID.make(at: .now, using: &generator), tenant: "default", requestID: "r1",
        spec: GenerationSpec(
          model: "gone", prompt: .text("p"), sampling: SamplingParameters(seed: 1),
          deadline: Timestamp(microsecondsSinceEpoch: 1)))
      _ = try await scene.store.submit([early])
      let retried = ServiceScene.request {
        $0.requestID = "r1"
        $0.spec.model = "gone"
        $0.spec.deadline = Google_Protobuf_Timestamp(seconds: 1)
      }
      let job: Millrace_V1_Job = try await scene.call(
        "millrace.v1.JobService/SubmitJob", retried)
      #expect(job.id == early.id.description)
      var batch = Millrace_V1_BatchSubmitJobsRequest()
      batch.requests = [
        ServiceScene.request { $0.requestID = "r2" }, retried,
        ServiceScene.request { $0.requestID = "r2" },
      ]
      let first: Millrace_V1_BatchSubmitJobsResponse = try await scene.call(
        "millrace.v1.JobService/BatchSubmitJobs", batch)
      #expect(first.jobs[1] == job)
      #expect(first.jobs[0] == first.jobs[2])
      // Two jobs wait, which is the limit; what is known is answered all the same.
      let again: Millrace_V1_BatchSubmitJobsResponse = try await scene.call(
        "millrace.v1.JobService/BatchSubmitJobs", batch)
      #expect(again == first)
      let (error, status) = try await scene.failure(
        of: "millrace.v1.JobService/SubmitJob", ServiceScene.request { $0.requestID = "r3" })
      #expect(error.code == .resourceExhausted)
      #expect(error.message.contains("2 jobs"))
      let waits = status.details.compactMap { try? Google_Rpc_RetryInfo(unpackingAny: $0) }
      #expect(waits.count == 1 && waits[0].retryDelay.seconds > 0)
      // A bad request is still named by its place.
      batch.requests.append(ServiceScene.request { $0.spec.model = "gone" })
      let (_, refusal) = try await scene.failure(
        of: "millrace.v1.JobService/BatchSubmitJobs", batch)
      #expect(refusal.message.contains("requests[3].spec.model"))
    }
  }

  @Test("the jobs of a batch are queued in the order of the batch")
  func batchOrder() async throws {
    try await ServiceScene.run { scene in
      var batch = Millrace_V1_BatchSubmitJobsRequest()
      batch.requests = (0..<200).map { _ in ServiceScene.request() }
      let submitted: Millrace_V1_BatchSubmitJobsResponse = try await scene.call(
        "millrace.v1.JobService/BatchSubmitJobs", batch)
      let ids = submitted.jobs.map(\.id)
      #expect(ids == ids.sorted())
    }
  }

  @Test("names each bad field of a request, of one and of many")
  func badFields() async throws {
    try await ServiceScene.run { scene in
      let bad = ServiceScene.request {
        $0.spec.sampling.temperature = -1
        $0.spec.sampling.topP = 2
      }
      let (error, status) = try await scene.failure(of: "millrace.v1.JobService/SubmitJob", bad)
      #expect(error.code == .invalidArgument)
      #expect(status.code == error.code.rawValue)
      #expect(status.message == error.message)
      let infos = status.details.compactMap { try? Google_Rpc_ErrorInfo(unpackingAny: $0) }
      #expect(infos.map(\.reason) == ["INVALID_FIELDS"])
      #expect(infos.map(\.domain) == ["millrace"])
      let request = try #require(
        status.details.compactMap { try? Google_Rpc_BadRequest(unpackingAny: $0) }.first)
      #expect(
        request.fieldViolations.map(\.field) == [
          "spec.sampling.temperature", "spec.sampling.top_p",
        ])
      var batch = Millrace_V1_BatchSubmitJobsRequest()
      batch.requests = [ServiceScene.request(), bad]
      let (_, batchStatus) = try await scene.failure(
        of: "millrace.v1.JobService/BatchSubmitJobs", batch)
      #expect(batchStatus.message.contains("requests[1].spec.sampling.temperature"))
      #expect(try await scene.store.statistics().jobs[.queued] ?? 0 == 0)
    }
  }

  @Test("pages through a listing, and refuses a token of another one")
  func paging() async throws {
    try await ServiceScene.run { scene in
      var ids: [String] = []
      for index in 0..<7 {
        let job: Millrace_V1_Job = try await scene.call(
          "millrace.v1.JobService/SubmitJob",
          ServiceScene.request { $0.spec.labels = ["parity": index % 2 == 0 ? "even" : "odd"] })
        ids.append(job.id)
      }
      var request = Millrace_V1_ListJobsRequest()
      request.pageSize = 3
      var seen: [String] = []
      repeat {
        let page: Millrace_V1_ListJobsResponse = try await scene.call(
          "millrace.v1.JobService/ListJobs", request)
        seen += page.jobs.map(\.id)
        request.pageToken = page.nextPageToken
      } while !request.pageToken.isEmpty
      #expect(Set(seen) == Set(ids) && seen.count == 7)
      let first: Millrace_V1_ListJobsResponse = try await scene.call(
        "millrace.v1.JobService/ListJobs", request)
      request.pageToken = first.nextPageToken
      request.labels = ["parity": "even"]
      let (error, _) = try await scene.failure(of: "millrace.v1.JobService/ListJobs", request)
      #expect(error.message.contains("page_token"))
      request.pageToken = ""
      request.pageSize = 100
      let even: Millrace_V1_ListJobsResponse = try await scene.call(
        "millrace.v1.JobService/ListJobs", request)
      #expect(even.jobs.count == 4)
    }
  }

  @Test("a malformed message and an unknown job have their own errors")
  func errors() async throws {
    try await ServiceScene.run { scene in
      await #expect(throws: RPCError.self) {
        _ = try await scene.client.unary("/millrace.v1.JobService/GetJob", [0xff, 0xff])
      }
      var get = Millrace_V1_GetJobRequest()
      for id in ["nothing", UUID().uuidString] {
        get.id = id
        let (error, status) = try await scene.failure(of: "millrace.v1.JobService/GetJob", get)
        #expect(error.code == .notFound)
        let info = try Google_Rpc_ErrorInfo(unpackingAny: status.details[0])
        #expect(info.reason == "JOB_NOT_FOUND")
      }
    }
  }
}
