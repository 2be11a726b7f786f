import Foundation
import JobQueue
import Logging
import Synchronization
import Testing

@Suite("Watching jobs in a store")
struct WatchHubTests {
  /// A store with one running job whose writer the test plays.
  private struct Scene {
    let store = InMemoryJobStore()
    let hub: WatchHub
    let claimed: ClaimedJob

    init() async throws {
      hub = WatchHub(
        store: store, pollInterval: .milliseconds(50), replayTokens: 16,
        logger: Logger(label: "test"))
      var generator = SystemRandomNumberGenerator()
      let id = JobID.make(at: .now, using: &generator)
      _ = try await store.submit([
        Submission(id: id, tenant: "default", requestID: nil, spec: Samples.spec())
      ])
      let executor = ExecutorID()
      try await store.register(
        ExecutorDescription(
          id: executor, host: "h", processID: 1, models: ["story"], slots: 1),
        leaseDuration: .seconds(60))
      let result = try await store.claim(ClaimRequest(executor: executor, room: ["story": 1]))
      claimed = try #require(result.jobs.first)
    }

    func write(_ range: Range<Int>, end: JobEnd? = nil) async throws {
      let results = try await store.write([
        LeaseWrite(
          lease: claimed.lease, chunk: range.isEmpty ? nil : Samples.chunk(range),
          modelFingerprint: "f", usage: Usage(promptTokens: 1), end: end)
      ])
      #expect(results == [.written])
    }

    /// Collects what a watcher receives, checking that nothing is missing or repeated.
    func collect(from index: Int = 0) async throws -> [Int32] {
      var tokens: [Int32] = []
      var next = index
      var hasFinished = false
      try await hub.watch(claimed.job.id, from: index) { event in
        #expect(!hasFinished)
        switch event {
        case .state(let job): #expect(!job.state.isTerminal)
        case .tokens(let chunk):
          #expect(chunk.firstIndex == next)
          next = chunk.endIndex
          tokens += chunk.tokens
        case .finished(let job):
          #expect(job.state == .succeeded)
          hasFinished = true
        }
      }
      #expect(hasFinished)
      return tokens
    }
  }

  /// Runs the hub for as long as the body runs.
  private func withHub(_ body: (Scene) async throws -> Void) async throws {
    let scene = try await Scene()
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { await scene.hub.run() }
      try await body(scene)
      group.cancelAll()
    }
    #expect(scene.hub.watcherCount == 0)
  }

  @Test("a watcher whose job is deleted under it is told that there is none")
  func pruned() async throws {
    try await withHub { scene in
      for start in stride(from: 0, to: 160, by: 16) { try await scene.write(start..<start + 16) }
      let id = scene.claimed.job.id
      var received = 0
      await #expect(throws: WatchError.notFound) {
        try await scene.hub.watch(id, from: 0) { event in
          guard case .tokens(let chunk) = event, received == 0 else { return }
          received = chunk.endIndex
          _ = try await scene.store.cancel(id, tenant: nil)
          #expect(try await scene.store.prune(olderThan: .zero, limit: 1) == 1)
        }
      }
      #expect(received == 16)
    }
  }

  @Test("many watchers, early and late, near and far, receive exactly the committed tokens")
  func many() async throws {
    try await withHub { scene in
      try await withThrowingTaskGroup(of: (Int, [Int32]).self) { group in
        for index in 0..<40 {
          let from = index % 4 * 50
          group.addTask { (from, try await scene.collect(from: from)) }
        }
        for start in stride(from: 0, to: 300, by: 3) {
          try await scene.write(start..<start + 3)
          if start % 30 == 0 {
            group.addTask { (0, try await scene.collect()) }
          }
        }
        try await scene.write(300..<300, end: .succeeded(.length))
        for try await (from, tokens) in group {
          #expect(tokens == (from..<300).map(Int32.init))
        }
      }
    }
  }

  @Test("a job that has ended is replayed, and from beyond its end only the end comes")
  func ended() async throws {
    try await withHub { scene in
      try await scene.write(0..<100, end: .succeeded(.stop))
      #expect(try await scene.collect() == (0..<100).map(Int32.init))
      #expect(try await scene.collect(from: 99) == [99])
      #expect(try await scene.collect(from: 500).isEmpty)
    }
  }

  @Test("a watcher that never reads holds nobody up")
  func stuck() async throws {
    try await withHub { scene in
      let (started, start) = AsyncStream<Void>.makeStream()
      let (released, release) = AsyncStream<Void>.makeStream()
      try await withThrowingTaskGroup(of: Int.self) { group in
        group.addTask {
          var count = 0
          try await scene.hub.watch(scene.claimed.job.id, from: 0) { event in
            start.finish()
            for await _ in released {}
            if case .tokens(let chunk) = event { count += chunk.tokens.count }
          }
          return count
        }
        for await _ in started {}
        try await scene.write(0..<200, end: .succeeded(.stop))
        #expect(try await scene.collect().count == 200)
        release.finish()
        #expect(try await group.next() == 200)
      }
    }
  }

  @Test("a watcher far beyond the output takes nothing from the others")
  func beyond() async throws {
    try await withHub { scene in
      try await withThrowingTaskGroup(of: [Int32].self) { group in
        group.addTask { try await scene.collect(from: .max) }
        group.addTask { try await scene.collect(from: 150) }
        try await scene.write(0..<100)
        group.addTask { try await scene.collect() }
        try await scene.write(100..<200, end: .succeeded(.length))
        var received: [[Int32]] = []
        for try await tokens in group { received.append(tokens) }
        let expected: Set<[Int32]> = [[], (150..<200).map(Int32.init), (0..<200).map(Int32.init)]
        #expect(Set(received) == expected)
      }
    }
  }

  @Test("cancelling a watcher ends it while it waits")
  func cancelled() async throws {
    try await withHub { scene in
      let (started, start) = AsyncStream<Void>.makeStream()
      await withTaskGroup(of: Bool.self) { group in
        group.addTask {
          do {
            try await scene.hub.watch(scene.claimed.job.id, from: 0) { _ in start.finish() }
            return false
          } catch is CancellationError {
            return true
          } catch {
            return false
          }
        }
        for await _ in started {}
        group.cancelAll()
        #expect(await group.next() == true)
      }
    }
  }

  @Test("an unknown job and a closing hub are told apart")
  func errors() async throws {
    try await withHub { scene in
      await #expect(throws: WatchError.notFound) {
        try await scene.hub.watch(JobID(UUID()), from: 0) { _ in }
      }
      scene.hub.close()
      await #expect(throws: WatchError.closed) {
        try await scene.hub.watch(scene.claimed.job.id, from: 0) { _ in }
      }
    }
  }
}
