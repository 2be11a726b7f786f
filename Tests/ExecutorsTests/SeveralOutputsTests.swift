import Executors
import Foundation
import Inference
import JobQueue
import TestModels
import Testing

@Suite("An executor, with jobs of several outputs and searches")
struct SeveralOutputsTests {
  /// A job of several samples.
  private static func spec(_ index: Int, outputs: Int32 = 3) -> GenerationSpec {
    var spec = Scene.spec(index)
    spec.sampling.outputs = outputs
    return spec
  }

  private static func spec(
    _ index: Int, outputs: Int32? = nil, _ strategy: SamplingParameters.Strategy
  ) -> GenerationSpec {
    var spec = spec(index, outputs: outputs ?? 1)
    spec.sampling.strategy = strategy
    spec.sampling.logprobs = nil
    return spec
  }

  @Test("runs them beside one another, each with the outputs that the engine makes alone")
  func plain() async throws {
    let scene = try Scene()
    let specs = [
      Self.spec(0), Scene.spec(1), Self.spec(2, outputs: 4), Self.spec(3, outputs: 2),
      Self.spec(4, outputs: 2, .beam(width: 3, lengthPenalty: 1, stopsEarly: false)),
      Self.spec(5, .contrastive(topK: 3, alpha: 0.6)), Self.spec(6), Scene.spec(7),
      Self.spec(8, .beam(width: 4, lengthPenalty: 0.5, stopsEarly: true)),
    ]
    let ids = try await scene.submit(specs)
    try await scene.withExecutor { _ in
      for id in ids { try await scene.check(scene.wait(id) { $0.state.isTerminal }) }
    }
  }

  @Test("the first of several samples is what a job of one output gives")
  func first() throws {
    let scene = try Scene()
    let alone = try scene.undisturbed(Scene.spec(1))
    let several = try scene.undisturbed(Self.spec(1))
    #expect(several.count == 3)
    #expect(several[0].tokens == alone[0].tokens)
    #expect(Set(several.map(\.tokens)).count == 3)
  }

  @Test("hands one back when it shuts down, and the next one goes on where each output stopped")
  func handBack() async throws {
    let scene = try Scene()
    var spec = Scene.steadySpec(1)
    (spec.sampling.maxTokens, spec.sampling.outputs) = (600, 3)
    let ids = try await scene.submit([spec])
    try await scene.withExecutor(scene.stalling, configuration: Scene.narrow) { _ in
      try await scene.wait(ids[0]) { $0.usage.outputTokens > 30 }
    }
    let halfway = try #require(try await scene.store.jobs(ids, tenant: nil).first)
    #expect(halfway.state == .queued)
    #expect(halfway.usage.outputTokens < 1_800)
    try await scene.withExecutor { _ in
      try await scene.check(scene.wait(ids[0]) { $0.state.isTerminal })
    }
  }

  @Test("takes an interrupted search up again", arguments: [0, 1])
  func interruptedSearch(kind: Int) async throws {
    let scene = try Scene()
    var spec = Scene.steadySpec(1)
    (spec.sampling.maxTokens, spec.sampling.logprobs) = (600, nil)
    spec.sampling.strategy =
      kind == 0
      ? .contrastive(topK: 2, alpha: 0.3) : .beam(width: 2, lengthPenalty: 1, stopsEarly: false)
    let ids = try await scene.submit([spec])
    if kind == 0 {
      try await scene.withExecutor(scene.stalling, configuration: Scene.narrow) { _ in
        try await scene.wait(ids[0]) { $0.usage.outputTokens > 30 }
      }
    } else {
      // A part of it that was committed when something happened to the rest.
      try await scene.commit(25, of: ids[0])
    }
    let halfway = try #require(try await scene.store.jobs(ids, tenant: nil).first)
    #expect(halfway.state == .queued && halfway.usage.outputTokens > 20)
    try await scene.withExecutor { _ in
      try await scene.check(scene.wait(ids[0]) { $0.state.isTerminal })
    }
  }

  @Test("claims no more than there are places for, and lets nothing overtake what is wide")
  func wideJobs() async throws {
    let scene = try Scene()
    // Four places: the wide ones have to wait for one another.
    let specs = (0..<8).map { index in
      var spec = index % 2 == 0 ? Self.spec(index, outputs: 4) : Scene.spec(index)
      spec.sampling.maxTokens = 30
      return spec
    }
    let ids = try await scene.submit(specs)
    try await scene.withExecutor { _ in
      for id in ids { try await scene.check(scene.wait(id) { $0.state.isTerminal }) }
    }
    let jobs = try await scene.store.jobs(ids, tenant: nil)
    // Being handed back for want of places is no attempt.
    #expect(jobs.allSatisfy { $0.attempt == 1 })
  }

  @Test("goes on with one of whose outputs some had ended already")
  func someEnded() async throws {
    let scene = try Scene()
    // The end of text is likely, so that the outputs end one after the other.
    let specs = (0..<100).map { index in
      var spec = Self.spec(index)
      spec.sampling.logitBias = [2: 3]
      // What is committed below has none.
      spec.sampling.logprobs = nil
      return spec
    }
    let spec = try #require(
      try specs.first { spec in
        let lengths = try scene.undisturbed(spec).map(\.tokens.count)
        return Set(lengths).count == 3 && !lengths.contains(1)
      })
    let lengths = try scene.undisturbed(spec).map(\.tokens.count).sorted()
    for count in [1, lengths[0], lengths[1]] {
      let ids = try await scene.submit([spec])
      try await scene.commit(count, of: ids[0])
      try await scene.withExecutor { _ in
        try await scene.check(scene.wait(ids[0]) { $0.state.isTerminal })
      }
    }
  }

  @Test("loses nothing and repeats nothing when answers of the store get lost", arguments: 1...3)
  func lostAnswers(seed: UInt64) async throws {
    let scene = try Scene()
    let ids = try await scene.submit((0..<6).map { Self.spec($0, outputs: Int32($0 % 4) + 1) })
    let faulty = FaultyStore(scene.store, seed: seed, faultsPercent: 20)
    let configuration = ExecutorConfiguration(
      leaseDuration: .milliseconds(500), heartbeatInterval: .milliseconds(20),
      pollInterval: .milliseconds(10))
    try await scene.withExecutor(faulty, configuration: configuration) { _ in
      for id in ids { try await scene.check(scene.wait(id) { $0.state.isTerminal }) }
    }
  }

  @Test("ends one that has outgrown the context with what each output has")
  func smallerContext() async throws {
    let scene = try Scene()
    var spec = Self.spec(1)
    spec.sampling.logitBias = [2: -100]
    let ids = try await scene.submit([spec])
    try await scene.commit(40, of: ids[0])
    var served = scene.served
    served.options.contextLength = 40
    try await scene.withExecutor(model: served) { _ in
      let page = try await scene.wait(ids[0]) { $0.state.isTerminal }
      #expect(page.job.finishReason == .length)
      #expect(page.job.alternativeFinishReasons == [.length, .length])
      #expect(page.job.usage.outputTokens == 120)
    }
  }

  @Test("what takes more sequences than the engine may have is refused by its field")
  func tooManyPlaces() throws {
    let models = ServedModels([try Scene().served])
    func field(_ spec: GenerationSpec) -> String? {
      models.violation(of: spec.sampling, model: "tiny")?.field
    }
    // Samples can do with fewer places than there are of them.
    #expect(field(Self.spec(0, outputs: 5)) == nil)
    let beam = SamplingParameters.Strategy.beam(width: 5, lengthPenalty: 1, stopsEarly: false)
    #expect(field(Self.spec(0, outputs: 2, beam)) == "beam.width")
    #expect(field(Self.spec(0, .contrastive(topK: 5, alpha: 0))) == "contrastive.top_k")
    var long = Self.spec(0, .contrastive(topK: 4, alpha: 0))
    long.sampling.maxTokens = 1_000
    func room(_ bytes: Int?) throws -> String? {
      var served = try Scene().served
      served.options.kvCacheBytes = bytes
      return ServedModels([served])
        .violation(of: long.sampling, promptTokens: 20, model: "tiny")?.field
    }
    #expect(try room(nil) == nil)
    let probe = try Engine(model: try Scene().served.model, options: try Scene().served.options)
    let context = try Scene().served.contextLength
    let blocks = (context + 31) / 32
    #expect(try room(probe.statistics.kvBlockBytes * blocks) == "max_tokens")
  }
}
