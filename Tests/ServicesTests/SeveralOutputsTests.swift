import JobQueue
import Messages
import RPC
import Services
import SwiftProtobuf
import Testing

@Suite("The job service, with several outputs and searches")
struct SeveralOutputsTests {
  private static func submit(
    _ scene: ServiceScene, _ change: (inout Millrace_V1_SamplingParameters) -> Void
  ) async throws -> Millrace_V1_Job {
    try await scene.call(
      "millrace.v1.JobService/SubmitJob", ServiceScene.request { change(&$0.spec.sampling) })
  }

  private static func get(_ scene: ServiceScene, _ id: String) async throws -> Millrace_V1_Job {
    var request = Millrace_V1_GetJobRequest()
    request.id = id
    return try await scene.call("millrace.v1.JobService/GetJob", request)
  }

  private static func watch(
    _ scene: ServiceScene, _ id: String, from index: Int64 = 0
  ) async throws -> [Millrace_V1_JobEvent] {
    var request = Millrace_V1_WatchJobRequest()
    (request.id, request.fromToken) = (id, index)
    var events: [Millrace_V1_JobEvent] = []
    for try await bytes in try scene.client.serverStreaming(
      "/millrace.v1.JobService/WatchJob", try request.serializedBytes())
    {
      events.append(try Millrace_V1_JobEvent(serializedBytes: bytes))
    }
    return events
  }

  @Test("fills in the defaults of a search, and stores what is asked for")
  func searches() async throws {
    try await ServiceScene.run { scene in
      let beam = try await Self.submit(scene) {
        $0.n = 2
        $0.beam = Millrace_V1_BeamStrategy()
      }
      #expect(beam.spec.sampling.n == 2)
      #expect(beam.spec.sampling.beam.width == 4)
      #expect(beam.spec.sampling.beam.hasLengthPenalty)
      #expect(beam.spec.sampling.beam.lengthPenalty == 1)
      #expect(!beam.spec.sampling.beam.earlyStopping)
      let contrastive = try await Self.submit(scene) {
        $0.contrastive = Millrace_V1_ContrastiveStrategy()
      }
      #expect(contrastive.spec.sampling.n == 1)
      #expect(contrastive.spec.sampling.contrastive.topK == 4)
      #expect(contrastive.spec.sampling.contrastive.alpha == 0.6)
      let strategies: [Millrace_V1_SamplingParameters.OneOf_Strategy] = [
        .beam(
          .with {
            ($0.width, $0.lengthPenalty, $0.earlyStopping) = (7, -0.5, true)
          }),
        .contrastive(.with { ($0.topK, $0.alpha) = (9, 0) }),
      ]
      for strategy in strategies {
        let job = try await Self.submit(scene) { $0.strategy = strategy }
        #expect(job.spec.sampling.strategy == strategy)
        #expect(try await Self.get(scene, job.id).spec.sampling.strategy == strategy)
      }
    }
  }

  struct Case: Sendable, CustomTestStringConvertible {
    var field: String
    var change: @Sendable (inout Millrace_V1_SamplingParameters) -> Void
    var testDescription: String { field }
  }

  static let bad: [Case] = [
    Case(field: "n") { $0.n = -1 },
    Case(field: "n") { $0.n = 65 },
    Case(field: "n") { ($0.n, $0.temperature) = (2, 0) },
    Case(field: "n") { ($0.n, $0.greedy) = (2, Millrace_V1_GreedyStrategy()) },
    Case(field: "n") { ($0.n, $0.beam) = (5, Millrace_V1_BeamStrategy()) },
    Case(field: "n") { ($0.n, $0.contrastive) = (2, Millrace_V1_ContrastiveStrategy()) },
    Case(field: "beam.width") { $0.beam.width = 1 },
    Case(field: "beam.length_penalty") { $0.beam.lengthPenalty = 11 },
    Case(field: "contrastive.top_k") { $0.contrastive.topK = 65 },
    Case(field: "contrastive.alpha") { $0.contrastive.alpha = -0.1 },
  ]

  @Test("names what is wrong with them", arguments: bad)
  func badFields(_ test: Case) async throws {
    try await ServiceScene.run { scene in
      let request = ServiceScene.request { test.change(&$0.spec.sampling) }
      let (_, status) = try await scene.failure(of: "millrace.v1.JobService/SubmitJob", request)
      let found = try #require(
        status.details.compactMap { try? Google_Rpc_BadRequest(unpackingAny: $0) }.first)
      #expect(found.fieldViolations.map(\.field) == ["spec.sampling.\(test.field)"])
    }
  }

  @Test("an event has tokens of one output; only GetJob's answer has the further outputs")
  func events() async throws {
    try await ServiceScene.run { scene in
      let submitted = try await Self.submit(scene) { $0.n = 3 }
      let executor = ExecutorDescription(
        id: ExecutorID(), host: "h", processID: 1, models: ["story"], slots: 1)
      try await scene.store.register(executor, leaseDuration: .seconds(60))
      let claim = ClaimRequest(executor: executor.id, room: ["story": 1])
      let lease = try #require(try await scene.store.claim(claim).jobs.first).lease
      func write(_ first: Int, _ outputs: [Int32]?, count: Int, end: JobEnd?) async throws {
        let places = first..<first + count
        let chunk = OutputChunk(
          firstIndex: first, tokens: places.map { Int32($0) }, pieces: places.map { "\($0) " },
          offsetsMicroseconds: places.map { _ in 0 }, outputs: outputs)
        let write = LeaseWrite(
          lease: lease, chunk: chunk, modelFingerprint: "f", usage: Usage(), end: end)
        #expect(try await scene.store.write([write]) == [.written])
      }
      try await write(0, [0, 1, 2, 2], count: 4, end: nil)
      let half = try await Self.get(scene, submitted.id)
      #expect(half.text == "0 ")
      #expect(half.alternatives.map(\.text) == ["1 ", "2 3 "])
      #expect(half.alternatives.map(\.finishReason) == [.unspecified, .unspecified])
      try await write(4, nil, count: 1_500, end: nil)
      try await write(
        1_504, [1, 1, 0], count: 3, end: .succeeded(.stop, alternatives: [.length, .stopString]))

      let events = try await Self.watch(scene, submitted.id)
      let tokens = events.filter { !$0.tokens.tokenIds.isEmpty }.map(\.tokens)
      #expect(tokens.map(\.output) == [0, 1, 2, 0, 0, 1, 0])
      #expect(tokens.map(\.firstIndex) == [0, 1, 2, 4, 1_028, 1_504, 1_506])
      #expect(tokens.map(\.tokenIds.count) == [1, 1, 2, 1_024, 476, 2, 1])
      let job = try await Self.get(scene, submitted.id)
      let outputs = [job.text] + job.alternatives.map(\.text)
      for (index, text) in outputs.enumerated() {
        #expect(tokens.filter { $0.output == Int32(index) }.map(\.text).joined() == text)
      }
      #expect(job.tokenIds.count == 1_502 && job.tokenIds.last == 1_506)
      #expect(job.alternatives.map(\.tokenIds) == [[1, 1_504, 1_505], [2, 3]])
      #expect(job.finishReason == .stop)
      #expect(job.alternatives.map(\.finishReason) == [.length, .stopString])
      #expect(job.usage.outputTokens == 1_507)
      let finished = try #require(events.last).finished
      #expect(finished.finishReason == .stop)
      #expect(finished.alternatives.map(\.finishReason) == [.length, .stopString])
      #expect(finished.alternatives.allSatisfy { $0.text.isEmpty && $0.tokenIds.isEmpty })

      let rest = try await Self.watch(scene, submitted.id, from: 1_505)
      #expect(rest.first?.tokens.tokenIds == [1_505])
      #expect(rest.first?.tokens.output == 1)
    }
  }
}
