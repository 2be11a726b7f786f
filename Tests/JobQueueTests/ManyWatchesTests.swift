import JobQueue
import Logging
import Synchronization
import Testing

/// What watching asks of the store, which others use as well.
@Suite("Many watched jobs")
struct ManyWatchesTests {
  private func hub(_ store: ScriptedStore, concurrentReads: Int = 4) -> WatchHub {
    WatchHub(
      store: store, pollInterval: .milliseconds(20), concurrentReads: concurrentReads,
      logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
  }

  /// Watches jobs until each has shown its state, then runs the body, then stops watching.
  private func watching(
    _ jobs: [Job], _ hub: WatchHub, _ body: () async throws -> Void
  ) async throws {
    let (states, input) = AsyncStream<Void>.makeStream()
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { await hub.run() }
      for job in jobs {
        group.addTask {
          try? await hub.watch(job.id, from: 0) { event in
            if case .state = event { input.yield() }
          }
        }
      }
      var next = states.makeAsyncIterator()
      for _ in jobs { await next.next() }
      try await body()
      group.cancelAll()
    }
  }

  @Test("jobs that do not move are asked about together and read once")
  func idle() async throws {
    let store = ScriptedStore()
    let jobs = (0..<1_200).map { _ in Samples.job() }
    for job in jobs { store.put(job) }
    try await watching(jobs, hub(store)) {
      let before = store.lookSizes.count
      await store.waitForLooks(10)
      #expect(store.readCount == jobs.count)
      let sizes = store.lookSizes[before...]
      #expect(sizes.allSatisfy { $0 <= WatchHub.jobsPerLook })
      // Three questions cover all of them.
      #expect(sizes.dropFirst(3).prefix(3).reduce(0, +) == jobs.count)
    }
  }

  @Test("only so many jobs are read at once")
  func gate() async throws {
    let store = ScriptedStore(crowd: 4)
    let jobs = (0..<100).map { _ in Samples.job() }
    for job in jobs { store.put(job) }
    try await watching(jobs, hub(store)) {
      #expect(store.mostReadsUnderWay == 4)
      #expect(store.readCount == jobs.count)
    }
  }

  @Test("after an interruption only what moved is read")
  func interruption() async throws {
    let store = ScriptedStore()
    let jobs = (0..<20).map { _ in Samples.job() }
    for job in jobs { store.put(job) }
    let hub = WatchHub(
      store: store, pollInterval: .seconds(3_600),
      logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    try await watching(jobs, hub) {
      var ended = jobs[3]
      ended.state = .cancelled
      store.put(ended)
      store.emit([.interrupted])
      while hub.watcherCount == jobs.count { await Task.yield() }
      #expect(hub.watcherCount == jobs.count - 1)
      #expect(store.readCount == jobs.count + 1)
    }
  }

  @Test("what moved without a signal is read, and what is gone is told")
  func moved() async throws {
    let store = ScriptedStore()
    let (still, gone) = (Samples.job(), Samples.job())
    var moving = Samples.job()
    for job in [still, gone, moving] { store.put(job) }
    let hub = hub(store)
    try await watching([still], hub) {
      await #expect(throws: WatchError.notFound) {
        try await hub.watch(gone.id, from: 0) { event in
          if case .state(let job) = event { store.remove(job.id) }
        }
      }
      let received = Mutex<[Int32]>([])
      try await hub.watch(moving.id, from: 0) { event in
        switch event {
        case .state:
          moving.usage.outputTokens = 3
          store.put(moving, [Samples.chunk(0..<3)])
        case .tokens(let chunk):
          received.withLock { $0 += chunk.tokens }
          moving.state = .succeeded
          store.put(moving, [Samples.chunk(0..<3)])
        case .finished: break
        }
      }
      #expect(received.withLock { $0 } == [0, 1, 2])
      #expect(store.readCount(of: still.id) == 1)
    }
  }

  @Test("a read that failed is made again; an error that stays ends the watch")
  func failures() async throws {
    let store = ScriptedStore()
    let job = Samples.job(.succeeded)
    store.put(job)
    let hub = hub(store)
    try await watching([], hub) {
      for code in [JobStoreError.Code.unavailable, .exhausted, .cancelled] {
        store.fail([JobStoreError(code: code, message: "away")])
        try await hub.watch(job.id, from: 0) { #expect($0 == .finished(job)) }
      }
      store.fail([JobStoreError(code: .internal, message: "not readable")])
      await #expect(throws: JobStoreError.self) { try await hub.watch(job.id, from: 0) { _ in } }
    }
    #expect(hub.watcherCount == 0)
  }

  @Test(
    "output that the store lost ends the watch after what is there",
    arguments: [JobState.running, .succeeded, .failed], [0, 1, 2, 3])
  func corrupt(state: JobState, from index: Int) async throws {
    let store = ScriptedStore()
    let job = Samples.job(state, outputTokens: 4)
    store.put(job, [Samples.chunk(0..<2)])
    let hub = hub(store)
    try await watching([], hub) {
      let received = Mutex<[Int32]>([])
      await #expect(throws: WatchError.corrupt) {
        try await hub.watch(job.id, from: index) { event in
          if case .tokens(let chunk) = event { received.withLock { $0 += chunk.tokens } }
        }
      }
      #expect(received.withLock { $0 } == Array([0, 1].dropFirst(index)))
    }
  }

  @Test("a hole in old output ends the watch of who comes to it, and nobody else's")
  func hole() async throws {
    let store = ScriptedStore()
    let job = Samples.job(outputTokens: 4)
    store.put(job, [Samples.chunk(0..<1), Samples.chunk(2..<4)])
    let hub = hub(store)
    let (states, input) = AsyncStream<Void>.makeStream()
    try await watching([], hub) {
      await withTaskGroup(of: Void.self) { group in
        group.addTask { try? await hub.watch(job.id, from: 3) { _ in input.yield() } }
        for await _ in states { break }
        await #expect(throws: WatchError.corrupt) {
          try await hub.watch(job.id, from: 0) { event in
            if case .tokens(let chunk) = event { #expect(chunk.endIndex == 1) }
          }
        }
        #expect(hub.watcherCount == 1)
        group.cancelAll()
      }
    }
  }
}
