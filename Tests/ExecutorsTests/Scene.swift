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

  /// One output of a job, token by token.
  struct Told {
    var tokens: [Int32] = []
    var pieces: [String] = []
    var finish: JobQueue.FinishReason?

    var text: String { pieces.joined() }
  }

  /// What the engine makes of a spec by itself: the undisturbed outputs.
  func undisturbed(_ spec: GenerationSpec) throws -> [Told] {
    guard case .text(let text) = try #require(spec.prompt) else { return [] }
    let engine = try Engine(model: tiny.model, options: served.options)
    try engine.add(
      GenerationRequest(
        sequence: 1, promptTokens: tiny.model.encodePrompt(text),
        options: Self.options(spec.sampling)))
    var told: [Told] = []
    while engine.hasWork {
      for output in try engine.step() {
        while told.count <= output.output { told.append(Told()) }
        told[output.output].tokens += output.tokens.map(\.token)
        told[output.output].pieces += output.tokens.map(\.text)
        if let finish = output.finish {
          told[output.output].finish = JobQueue.FinishReason(rawValue: finish.rawValue)
        }
      }
    }
    return told
  }

  /// The engine's form of what the tests' specs hold.
  private static func options(_ parameters: SamplingParameters) -> SamplingOptions {
    let strategy: DecodingStrategy =
      switch parameters.strategy {
      case nil: .sampling
      case .beam(let width, let penalty, let stopsEarly):
        .beam(
          BeamSearchOptions(width: Int(width), lengthPenalty: penalty, stopsEarly: stopsEarly))
      case .contrastive(let topK, let alpha):
        .contrastive(ContrastiveSearchOptions(topK: Int(topK), alpha: alpha))
      }
    return SamplingOptions(
      maxTokens: Int(parameters.maxTokens), temperature: parameters.temperature,
      seed: parameters.seed, logitBias: parameters.logitBias,
      outputs: Int(parameters.outputs ?? 1), strategy: strategy)
  }

  /// Commits the first tokens of a job's outputs as an executor would that then hands it back.
  func commit(_ count: Int, of id: JobID) async throws {
    let executor = ExecutorID()
    try await store.register(
      ExecutorDescription(id: executor, host: "h", processID: 1, models: ["tiny"], slots: 1),
      leaseDuration: .seconds(60))
    let claimed = try #require(
      try await store.claim(ClaimRequest(executor: executor, room: ["tiny": 1])).jobs.first)
    #expect(claimed.job.id == id)
    var chunk = OutputChunk(firstIndex: 0, tokens: [], pieces: [], offsetsMicroseconds: [])
    for (index, output) in try undisturbed(claimed.job.spec).enumerated() {
      let tokens = output.tokens.prefix(count)
      chunk.append(
        OutputChunk(
          firstIndex: chunk.endIndex, tokens: Array(tokens),
          pieces: Array(output.pieces.prefix(count)),
          offsetsMicroseconds: tokens.map { _ in 0 },
          outputs: index == 0 ? nil : tokens.map { _ in Int32(index) }))
    }
    let write = LeaseWrite(
      lease: claimed.lease, chunk: chunk, modelFingerprint: tiny.model.fingerprint,
      usage: Usage(), end: nil)
    #expect(try await store.write([write]) == [.written])
    try await store.deregister(executor)
  }

  /// The outputs that are in a page.
  static func told(in page: OutputPage) -> [Told] {
    var told: [Told] = []
    for chunk in page.chunks {
      for run in chunk.runs {
        while told.count <= run.output { told.append(Told()) }
        told[run.output].tokens += chunk.tokens[run.range]
        told[run.output].pieces += chunk.pieces[run.range]
      }
    }
    return told
  }

  /// Checks that a job succeeded with exactly the undisturbed outputs, in contiguous chunks.
  func check(_ page: OutputPage) async throws {
    let job = try #require(try await store.job(page.job.id, tenant: nil))
    let expected = try undisturbed(job.spec)
    let found = Self.told(in: page)
    #expect(page.job.state == .succeeded)
    #expect(found.map(\.tokens) == expected.map(\.tokens))
    #expect(found.map(\.text) == expected.map(\.text))
    #expect(page.job.finishReason == expected.first?.finish)
    #expect(page.job.alternativeFinishReasons == expected.dropFirst().map(\.finish))
    let count = expected.reduce(0) { $0 + $1.tokens.count }
    #expect(page.job.usage.outputTokens == Int64(count))
    var next = 0
    for chunk in page.chunks {
      #expect(chunk.firstIndex == next)
      next = chunk.endIndex
    }
    if page.job.spec.sampling.logprobs != nil {
      let logprobs = page.chunks.flatMap { $0.logprobs ?? [] }
      #expect(logprobs.count == count)
      #expect(logprobs.allSatisfy { $0.top.count == 2 && $0.logprob <= 0 })
    }
  }
}
