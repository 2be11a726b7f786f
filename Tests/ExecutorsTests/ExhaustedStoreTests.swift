import Executors
import JobQueue
import Testing

@Suite("An executor whose store is full")
struct ExhaustedStoreTests {
  @Test("keeps the output that was refused and commits it later, each token once", arguments: 1...4)
  func passing(seed: UInt64) async throws {
    let scene = try Scene()
    let ids = try await scene.submit((0..<10).map { Scene.spec($0) })
    let faulty = FaultyStore(scene.store, seed: seed, faultsPercent: 40, code: .exhausted)
    let configuration = ExecutorConfiguration(
      leaseDuration: .milliseconds(500), heartbeatInterval: .milliseconds(20),
      pollInterval: .milliseconds(10))
    try await scene.withExecutor(faulty, configuration: configuration) { _ in
      for id in ids { try await scene.check(scene.wait(id) { $0.state.isTerminal }) }
    }
  }

  @Test("fails no job for it: hands them back at its end with what was committed")
  func lasting() async throws {
    let scene = try Scene()
    let ids = try await scene.submit((0..<4).map { Scene.spec($0, maxTokens: 1_100) })
    let full = FaultyStore(scene.store, outputLimit: 100, code: .exhausted)
    try await scene.withExecutor(full, configuration: Scene.narrow) { _ in
      for id in ids { try await scene.wait(id) { $0.usage.outputTokens > 3 } }
    }
    let halfway = try await scene.store.jobs(ids, tenant: nil)
    #expect(halfway.allSatisfy { $0.state == .queued || $0.state == .succeeded })
    #expect(halfway.contains { $0.state == .queued && $0.usage.outputTokens > 3 })
    try await scene.withExecutor { _ in
      for id in ids { try await scene.check(scene.wait(id) { $0.state.isTerminal }) }
    }
  }
}
