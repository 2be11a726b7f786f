import Executors
import Foundation
import Inference
import JobQueue
import TestModels
import Testing

@Suite("An executor")
struct ExecutorTests {
  @Test("runs more jobs than it has places, each with the output that the engine makes alone")
  func plain() async throws {
    let scene = try Scene()
    let ids = try await scene.submit((0..<12).map { Scene.spec($0) })
    try await scene.withExecutor { _ in
      for id in ids { try await scene.check(scene.wait(id) { $0.state.isTerminal }) }
    }
    #expect(try await scene.store.executors().isEmpty)
  }

  @Test("hands its jobs back when it shuts down, and the next one goes on where it stopped")
  func handBack() async throws {
    let scene = try Scene()
    let ids = try await scene.submit((0..<4).map { Scene.steadySpec($0) })
    try await scene.withExecutor(scene.stalling, configuration: Scene.narrow) { _ in
      for id in ids { try await scene.wait(id) { $0.usage.outputTokens > 3 } }
    }
    let halfway = try await scene.store.jobs(ids, tenant: nil)
    #expect(halfway.allSatisfy { $0.state != .running })
    #expect(halfway.contains { $0.state == .queued && $0.usage.outputTokens > 3 })
    #expect(halfway.allSatisfy { $0.state != .queued || $0.attempt == 0 })
    try await scene.withExecutor { _ in
      for id in ids { try await scene.check(scene.wait(id) { $0.state.isTerminal }) }
    }
  }

  @Test("loses nothing and repeats nothing when answers of the store get lost", arguments: 1...6)
  func lostAnswers(seed: UInt64) async throws {
    let scene = try Scene()
    let ids = try await scene.submit((0..<10).map { Scene.spec($0) })
    let faulty = FaultyStore(scene.store, seed: seed, faultsPercent: 20)
    // Short leases: a claim whose answer was lost is given out again when its lease has run out.
    let configuration = ExecutorConfiguration(
      leaseDuration: .milliseconds(500), heartbeatInterval: .milliseconds(20),
      pollInterval: .milliseconds(10))
    try await scene.withExecutor(faulty, configuration: configuration) { _ in
      for id in ids { try await scene.check(scene.wait(id) { $0.state.isTerminal }) }
    }
  }

  @Test("stops a job that is cancelled, and frees its place for the others")
  func cancel() async throws {
    let scene = try Scene()
    let long = try await scene.submit((0..<4).map { Scene.steadySpec($0) })
    // No long job can end by itself, so the next one finds a place only where one was cancelled.
    try await scene.withExecutor(scene.stalling, configuration: Scene.narrow) { executor in
      for id in long { try await scene.wait(id) { $0.usage.outputTokens > 0 } }
      for id in long { _ = try await scene.store.cancel(id, tenant: nil) }
      let next = try await scene.submit([Scene.spec(9)])
      try await scene.check(scene.wait(next[0]) { $0.state.isTerminal })
    }
    let ended = try await scene.store.jobs(long, tenant: nil)
    #expect(ended.map(\.state) == Array(repeating: .cancelled, count: 4))
    #expect(ended.allSatisfy { $0.usage.outputTokens <= 100 })
  }

  @Test("counts the times of tokens from when the job was claimed, not from when it learnt of it")
  func tokenTimes() async throws {
    let scene = try Scene()
    let ids = try await scene.submit((0..<3).map { Scene.spec($0, maxTokens: 5) })
    let store = FaultyStore(scene.store, claimAge: .seconds(1_000))
    let start = ContinuousClock.now
    try await scene.withExecutor(store) { _ in
      for id in ids {
        let page = try await scene.wait(id) { $0.state.isTerminal }
        let offsets = page.chunks.flatMap(\.offsetsMicroseconds)
        let most = (.seconds(1_000) + start.duration(to: .now)).microseconds
        #expect(!offsets.isEmpty && offsets.allSatisfy { (1_000_000_000...most).contains($0) })
      }
    }
  }

  @Test("commits tokens that come fast together, however fast the store is")
  func sharedCommits() async throws {
    let scene = try Scene()
    let store = FaultyStore(scene.store)
    let ids = try await scene.submit((0..<4).map { Scene.steadySpec($0) })
    let start = ContinuousClock.now
    try await scene.withExecutor(store) { _ in
      for id in ids { try await scene.wait(id) { $0.state.isTerminal } }
    }
    // As many as fit into the time, with those of the end: far fewer than the 4,400 tokens.
    let most = Int(start.duration(to: .now) / Executor.writeInterval) + 4
    #expect(store.transactions <= most)
  }

  @Test("fails no job with attempts left for an error of the store's own", arguments: 1...3)
  func storeDefects(seed: UInt64) async throws {
    let scene = try Scene()
    let specs = (0..<6).map { index in
      var spec = Scene.spec(index)
      spec.maxAttempts = JobLimits.maxAttempts
      return spec
    }
    let ids = try await scene.submit(specs)
    let faulty = FaultyStore(scene.store, seed: seed, faultsPercent: 50, code: .internal)
    let configuration = ExecutorConfiguration(
      leaseDuration: .milliseconds(500), heartbeatInterval: .milliseconds(20),
      pollInterval: .milliseconds(10))
    try await scene.withExecutor(faulty, configuration: configuration) { _ in
      for id in ids { try await scene.check(scene.wait(id) { $0.state.isTerminal }) }
    }
  }

  @Test("fails a job whose output is never taken after its last attempt, and no other")
  func refusedOutput() async throws {
    let scene = try Scene()
    let ids = try await scene.submit((0..<4).map { Scene.spec($0) })
    let faulty = FaultyStore(scene.store, refusedJobs: [ids[1]], code: .internal)
    try await scene.withExecutor(faulty) { _ in
      let page = try await scene.wait(ids[1]) { $0.state.isTerminal }
      #expect(page.job.failure == .attemptsExhausted(JobLimits.defaultMaxAttempts))
      for id in ids where id != ids[1] {
        try await scene.check(scene.wait(id) { $0.state.isTerminal })
      }
    }
  }

  @Test("ends a half-done job that has outgrown the context with what it has", arguments: [9, 40])
  func smallerContext(contextLength: Int) async throws {
    let scene = try Scene()
    let ids = try await scene.submit([Scene.spec(1)])
    try await scene.commit(40, of: ids[0])
    var served = scene.served
    served.options.contextLength = contextLength
    try await scene.withExecutor(model: served) { _ in
      let page = try await scene.wait(ids[0]) { $0.state.isTerminal }
      #expect(page.job.state == .succeeded)
      #expect(page.job.finishReason == .length)
      #expect(page.job.usage.outputTokens == 40)
    }
  }

  @Test("two executors share the jobs and never mix their output")
  func two() async throws {
    let scene = try Scene()
    let ids = try await scene.submit((0..<16).map { Scene.spec($0) })
    try await scene.withExecutor { _ in
      try await scene.withExecutor { _ in
        for id in ids { try await scene.check(scene.wait(id) { $0.state.isTerminal }) }
      }
    }
  }

  @Test("fails a half-done job whose model was replaced, and says so")
  func modelChanged() async throws {
    let scene = try Scene()
    let ids = try await scene.submit([Scene.steadySpec(1)])
    try await scene.commit(3, of: ids[0])
    let other = try TinyModel(seed: 2)
    var served = scene.served
    served.model = other.model
    try await scene.withExecutor(model: served) { _ in
      let page = try await scene.wait(ids[0]) { $0.state.isTerminal }
      #expect(page.job.failure?.code == .modelChanged)
      #expect(page.job.usage.outputTokens > 2)
    }
  }

  @Test("drains when asked: hands its jobs back and claims no more, but lives on")
  func drain() async throws {
    let scene = try Scene()
    let ids = try await scene.submit([Scene.steadySpec(1)])
    try await scene.withExecutor(scene.stalling, configuration: Scene.narrow) { executor in
      try await scene.wait(ids[0]) { $0.usage.outputTokens > 0 }
      #expect(try await scene.store.drain(executor.id))
      let page = try await scene.wait(ids[0]) { $0.state != .running }
      try #require(page.job.state == .queued)
      try await scene.withExecutor { _ in
        try await scene.check(scene.wait(ids[0]) { $0.state.isTerminal })
      }
    }
  }

  @Test("fails a job whose prompt does not fit, with the reason")
  func promptTooLong() async throws {
    let scene = try Scene()
    var spec = Scene.spec(0)
    spec.prompt = .tokens([Int32](repeating: 5, count: 1_300))
    let ids = try await scene.submit([spec])
    try await scene.withExecutor { _ in
      let page = try await scene.wait(ids[0]) { $0.state.isTerminal }
      #expect(page.job.state == .failed)
      #expect(page.job.failure?.code == .invalidArgument)
    }
  }

  @Test("counts the prompt tokens that were computed for an earlier job, of the same tenant only")
  func cachedPromptTokens() async throws {
    let scene = try Scene()
    var spec = Scene.spec(0, maxTokens: 4)
    spec.prompt = .tokens((3..<103).map { $0 })
    var cached: [Int64] = []
    try await scene.withExecutor { _ in
      for tenant in ["a", "a", "b", "a"] {
        let ids = try await scene.submit([spec], tenant: tenant)
        let page = try await scene.wait(ids[0]) { $0.state.isTerminal }
        #expect(page.job.usage.promptTokens == 100)
        cached.append(page.job.usage.cachedPromptTokens)
      }
    }
    #expect(cached == [0, 96, 0, 96])
  }

  @Test("runs jobs that want more of the cache than there is, each with its undisturbed output")
  func tightCache() async throws {
    let scene = try Scene()
    var served = scene.served
    served.options.contextLength = 160
    served.options.maxSequences = 8
    served.options.kvBlockTokens = 16
    // One context and a little more.
    let blockBytes = try Engine(model: scene.tiny.model, options: served.options)
      .statistics.kvBlockBytes
    served.options.kvCacheBytes = 12 * blockBytes
    let ids = try await scene.submit((0..<12).map { Scene.spec($0, maxTokens: 100) })
    try await scene.withExecutor(model: served) { _ in
      for id in ids { try await scene.check(scene.wait(id) { $0.state.isTerminal }) }
    }
  }
}
