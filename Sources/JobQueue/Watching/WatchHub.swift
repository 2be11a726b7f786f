public import Logging
import Synchronization

/// Lets any number of watchers follow jobs while each job's output is read once.
///
/// Signals say what has moved. Since they may be lost, the hub asks the store from time to time how
/// far all watched jobs are, many in one question, and reads only those that moved. Few reads are
/// under way at once, however many watchers there are: they must not take the store from others.
///
/// `run` must be running for watchers to make progress; it ends when its task is cancelled.
public final class WatchHub: Sendable {
  /// How many jobs are asked about in one question.
  package static let jobsPerLook = 500

  private let store: any WatchedStore
  private let pollInterval: Duration
  private let replayTokens: Int
  private let logger: Logger
  private let gate: ReadGate
  private let state = Mutex(State())

  private struct State {
    var entries: [JobID: Entry] = [:]
    var nextWaiter: UInt64 = 0
    var isClosed = false
  }

  private struct Entry {
    var topic = WatchTopic()
    var watchers = 0
    var waiters: [UInt64: CheckedContinuation<Void, Never>] = [:]
  }

  /// - Parameters:
  ///   - pollInterval: how often watched jobs are looked at when no signal comes.
  ///   - replayTokens: how many tokens are read at once for a watcher that is behind.
  ///   - concurrentReads: how many jobs are read at once, for all watchers together.
  public init(
    store: any WatchedStore, pollInterval: Duration = .seconds(1), replayTokens: Int = 4_096,
    concurrentReads: Int = 4, logger: Logger
  ) {
    self.store = store
    self.pollInterval = pollInterval
    self.replayTokens = replayTokens
    self.logger = logger
    gate = ReadGate(limit: concurrentReads)
  }

  /// Passes the store's signals to the watched jobs' topics, until cancelled.
  public func run() async {
    let signals = store.signals()
    let (interruptions, interruption) = AsyncStream<Void>.makeStream(
      bufferingPolicy: .bufferingNewest(1))
    await withTaskGroup(of: Void.self) { group in
      group.addTask {
        for await signal in signals { self.receive(signal, interruption) }
      }
      group.addTask {
        for await _ in interruptions { await self.lookAtAll(within: .zero) }
      }
      group.addTask {
        while !Task.isCancelled { await self.lookAtAll(within: self.pollInterval) }
      }
      await group.next()
      group.cancelAll()
    }
  }

  /// The number of watchers now.
  public var watcherCount: Int {
    state.withLock { $0.entries.values.reduce(0) { $0 + $1.watchers } }
  }

  /// Delivers a job's events from an output index on, until it has ended.
  ///
  /// Waits as long as `deliver` waits; other watchers do not. While the store is away, so are
  /// events; they go on when it is back.
  /// - Parameter alreadySeen: the state that the watcher knows of, which is not delivered again.
  /// - Throws: `WatchError`, what `deliver` throws, and `CancellationError`.
  public func watch(
    _ id: JobID, from index: Int, alreadySeen: JobState? = nil,
    deliver: (WatchEvent) async throws -> Void
  ) async throws {
    state.withLock { $0.entries[id, default: Entry()].watchers += 1 }
    defer { leave(id) }
    var position = WatchTopic.Position(index: index, state: alreadySeen)
    while !position.hasFinished {
      try Task.checkCancellation()
      let action = try state.withLock { state throws(WatchError) in
        if state.isClosed { throw .closed }
        return state.entries[id, default: Entry()].topic.next(for: &position)
      }
      switch action {
      case .deliver(let events):
        for event in events { try await deliver(event) }
      case .read(let from):
        try await read(id, from: from)
      case .replay(let end):
        try await replay(id, &position, upTo: end, deliver: deliver)
      case .wait(let version):
        await wait(id, version: version)
      case .fail:
        throw corrupt(id)
      }
    }
  }

  /// Ends all watching, now and later, with `WatchError.closed`.
  public func close() {
    let ids = state.withLock { state in
      state.isClosed = true
      return Array(state.entries.keys)
    }
    for id in ids { update(id) { $0.markStale() } }
  }

  // MARK: Reading

  private func read(_ id: JobID, from index: Int) async throws {
    do {
      guard let page = try await page(of: id, from: index, maxTokens: replayTokens) else {
        throw WatchError.notFound
      }
      update(id) { $0.didRead(page, from: index) }
    } catch let error as JobStoreError {
      update(id) { $0.didFailToRead() }
      if Task.isCancelled { update(id) { $0.markStale() } }
      try Task.checkCancellation()
      try await waitForRetry(id, error)
    } catch {
      update(id) { topic in
        topic.didFailToRead()
        topic.markStale()
      }
      throw error
    }
  }

  private func replay(
    _ id: JobID, _ position: inout WatchTopic.Position, upTo end: Int,
    deliver: (WatchEvent) async throws -> Void
  ) async throws {
    let count = min(replayTokens, end - position.index)
    let page: OutputPage?
    do {
      page = try await self.page(of: id, from: position.index, maxTokens: count)
    } catch let error as JobStoreError {
      try Task.checkCancellation()
      update(id) { $0.didFailToReplay() }
      try await waitForRetry(id, error)
      return
    }
    guard let page else { throw WatchError.notFound }
    if page.chunks.isEmpty { throw corrupt(id) }
    for chunk in page.chunks {
      guard chunk.firstIndex == position.index else { throw corrupt(id) }
      try await deliver(.tokens(chunk))
      position.index = chunk.endIndex
    }
  }

  private func page(of id: JobID, from index: Int, maxTokens: Int) async throws -> OutputPage? {
    try await gate.enter()
    defer { gate.leave() }
    return try await store.output(of: id, from: index, maxTokens: maxTokens)
  }

  private func corrupt(_ id: JobID) -> WatchError {
    logger.error(
      "A watched job's output is incomplete in the store", metadata: ["job": "\(id)"])
    return .corrupt
  }

  // MARK: Waiting

  /// Waits until it may be worth while to read again; throws what will not pass by itself.
  private func waitForRetry(_ id: JobID, _ error: JobStoreError) async throws(JobStoreError) {
    switch error.code {
    case .internal, .invalid: throw error
    case .unavailable, .exhausted, .cancelled: break
    }
    logger.debug("A watched job could not be read", metadata: ["error": "\(error)"])
    await wait(id, version: state.withLock { $0.entries[id]?.topic.version ?? 0 })
  }

  private func wait(_ id: JobID, version: UInt64) async {
    let waiter = state.withLock { state in
      state.nextWaiter += 1
      return state.nextWaiter
    }
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let mayWait = state.withLock { state in
          guard !Task.isCancelled, state.entries[id]?.topic.version == version else {
            return false
          }
          state.entries[id]?.waiters[waiter] = continuation
          return true
        }
        if !mayWait { continuation.resume() }
      }
    } onCancel: {
      state.withLock { $0.entries[id]?.waiters.removeValue(forKey: waiter) }?.resume()
    }
  }

  private func leave(_ id: JobID) {
    state.withLock { state in
      guard var entry = state.entries[id] else { return }
      entry.watchers -= 1
      state.entries[id] = entry.watchers > 0 ? entry : nil
    }
  }

  // MARK: News

  private func receive(_ signal: JobSignal, _ interruption: AsyncStream<Void>.Continuation) {
    switch signal {
    case .progressed(let id, let chunk): update(id) { $0.didSignal(chunk) }
    case .revoked(let id): update(id) { $0.markStale() }
    case .interrupted: interruption.yield()
    case .ready: break
    }
  }

  /// Asks how far all watched jobs are, spread over a time, which it takes.
  private func lookAtAll(within time: Duration) async {
    let ids = state.withLock { Array($0.entries.keys) }
    let looks = max((ids.count + Self.jobsPerLook - 1) / Self.jobsPerLook, 1)
    let clock = ContinuousClock()
    let start = clock.now
    for look in 0..<looks {
      let rest = ids.dropFirst(look * Self.jobsPerLook).prefix(Self.jobsPerLook)
      if !rest.isEmpty { await lookAt(Array(rest)) }
      let next = start + time / looks * (look + 1)
      guard (try? await clock.sleep(until: next)) != nil else { return }
    }
  }

  private func lookAt(_ ids: [JobID]) async {
    do {
      let progress = try await store.progress(of: ids)
      for id in ids { update(id) { $0.didLook(progress[id]) } }
    } catch {
      logger.debug("Watched jobs could not be looked at", metadata: ["error": "\(error)"])
    }
  }

  private func update(_ id: JobID, _ change: (inout WatchTopic) -> Void) {
    let waiters = state.withLock { state -> [CheckedContinuation<Void, Never>] in
      guard var entry = state.entries.removeValue(forKey: id) else { return [] }
      let version = entry.topic.version
      change(&entry.topic)
      var woken: [CheckedContinuation<Void, Never>] = []
      if entry.topic.version != version {
        woken = Array(entry.waiters.values)
        entry.waiters = [:]
      }
      state.entries[id] = entry
      return woken
    }
    for waiter in waiters { waiter.resume() }
  }
}
