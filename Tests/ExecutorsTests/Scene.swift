import Executors
import Foundation
import Inference
import JobQueue
import Logging
import ServiceLifecycle
import TestModels
import Testing

/// A store, a small model, and executors that come and go.
struct Scene {
  let store = InMemoryJobStore()
  let tiny: TinyModel

  init() throws {
    tiny = try TinyModel()
  }

  var served: ServedModel {
    ServedModel(
      name: "tiny", model: tiny.model,
      options: EngineOptions(maxSequences: 4, contextLength: 1_200, threads: 1))
  }

  /// A store that goes away for good once a job has some output, so that no long job can end.
  var stalling: FaultyStore { FaultyStore(store, outputLimit: 1_000) }

  /// A job for a store that stalls: one that does not end before, and whose tokens come one by one,
  /// like those of the others, so that none is far ahead when the store takes no more of any.
  static func steadySpec(_ index: Int) -> GenerationSpec {
    var spec = spec(index, maxTokens: 1_100)
    spec.speculation = .off
    // The end of text is never chosen.
    spec.sampling.logitBias = [2: -100]
    return spec
  }

  static func spec(_ index: Int, maxTokens: Int32 = 60) -> GenerationSpec {
    GenerationSpec(
      model: "tiny", prompt: .text("abc \(index)"),
      sampling: SamplingParameters(
        maxTokens: maxTokens, temperature: 0.9, seed: UInt64(index),
        logprobs: index % 3 == 0 ? 2 : nil))
  }

  /// Submits jobs and returns their ids.
  func submit(_ specs: [GenerationSpec], tenant: String = "default") async throws -> [JobID] {
    var generator = SystemRandomNumberGenerator()
    let submissions = specs.map {
      Submission(
        id: JobID.make(at: .now, using: &generator), tenant: tenant, requestID: nil, spec: $0)
    }
    return try await store.submit(submissions).map(\.job.id)
  }

  /// Runs an executor while the body runs, then shuts it down gracefully.
  func withExecutor(
    _ store: (any JobStore)? = nil, model: ServedModel? = nil,
    configuration: ExecutorConfiguration = Scene.eager,
    _ body: (Executor) async throws -> Void
  ) async throws {
    let executor = Executor(
      store: store ?? self.store, models: [model ?? served], configuration: configuration,
      logger: Self.logger)
    let group = ServiceGroup(services: [executor], logger: Self.logger)
    try await withThrowingTaskGroup(of: Void.self) { tasks in
      tasks.addTask { try await group.run() }
      try await body(executor)
      await group.triggerGracefulShutdown()
      try await tasks.waitForAll()
    }
  }

  /// Looks at everything often, so that no test waits long.
  static let eager = ExecutorConfiguration(
    leaseDuration: .seconds(30), heartbeatInterval: .milliseconds(20),
    pollInterval: .milliseconds(10))

  /// Engines that make little more than what is committed.
  static let narrow = ExecutorConfiguration(
    leaseDuration: .seconds(30), heartbeatInterval: .milliseconds(20),
    pollInterval: .milliseconds(10), maxUncommittedTokens: 8)

  static let logger: Logger = {
    var logger = Logger(label: "test")
    logger.logLevel = .critical
    return logger
  }()

  /// Waits until the condition holds for a job, looking at every signal of the store.
  @discardableResult
  func wait(_ id: JobID, until condition: (Job) -> Bool) async throws -> OutputPage {
    let signals = store.signals()
    var page = try #require(try await store.output(of: id, from: 0, maxTokens: .max))
    guard !condition(page.job) else { return page }
    for await _ in signals {
      page = try #require(try await store.output(of: id, from: 0, maxTokens: .max))
      if condition(page.job) { break }
    }
    return page
  }

  /// What the engine makes of a spec by itself: the undisturbed output.
  func undisturbed(_ spec: GenerationSpec) throws -> (tokens: [Int32], text: String) {
    guard case .text(let text) = try #require(spec.prompt) else { return ([], "") }
    let engine = try Engine(model: tiny.model, options: served.options)
    let parameters = spec.sampling
    try engine.add(
      GenerationRequest(
        sequence: 1, promptTokens: tiny.model.encodePrompt(text),
        options: SamplingOptions(
          maxTokens: Int(parameters.maxTokens), temperature: parameters.temperature,
          seed: parameters.seed, logitBias: parameters.logitBias)))
    var tokens: [GeneratedToken] = []
    while engine.hasWork { tokens += try engine.step().flatMap(\.tokens) }
    return (tokens.map(\.token), tokens.map(\.text).joined())
  }

  /// Commits the first tokens of a job as an executor would that then hands it back.
  func commit(_ count: Int, of id: JobID) async throws {
    let executor = ExecutorID()
    try await store.register(
      ExecutorDescription(id: executor, host: "h", processID: 1, models: ["tiny"], slots: 1),
      leaseDuration: .seconds(60))
    let claimed = try #require(
      try await store.claim(ClaimRequest(executor: executor, room: ["tiny": 1])).jobs.first)
    #expect(claimed.job.id == id)
    let tokens = try undisturbed(claimed.job.spec).tokens.prefix(count)
    let chunk = OutputChunk(
      firstIndex: 0, tokens: Array(tokens), pieces: tokens.map { _ in "" },
      offsetsMicroseconds: tokens.map { _ in 0 })
    let write = LeaseWrite(
      lease: claimed.lease, chunk: chunk, modelFingerprint: tiny.model.fingerprint,
      usage: Usage(), end: nil)
    #expect(try await store.write([write]) == [.written])
    try await store.deregister(executor)
  }

  /// Checks that a job succeeded with exactly the undisturbed output, in contiguous chunks.
  func check(_ page: OutputPage) async throws {
    let job = try #require(try await store.job(page.job.id, tenant: nil))
    let expected = try undisturbed(job.spec)
    #expect(page.job.state == .succeeded)
    #expect(page.chunks.flatMap(\.tokens) == expected.tokens)
    #expect(page.chunks.map(\.text).joined() == expected.text)
    #expect(page.job.usage.outputTokens == Int64(expected.tokens.count))
    var next = 0
    for chunk in page.chunks {
      #expect(chunk.firstIndex == next)
      next = chunk.endIndex
    }
    if page.job.spec.sampling.logprobs != nil {
      let logprobs = page.chunks.flatMap { $0.logprobs ?? [] }
      #expect(logprobs.count == expected.tokens.count)
      #expect(logprobs.allSatisfy { $0.top.count == 2 && $0.logprob <= 0 })
    }
  }
}
