public import Logging
import Synchronization

/// Lets any number of watchers follow jobs while each job's output is read once.
///
/// `run` must be running for watchers to make progress; it ends when its task is cancelled.
public final class WatchHub: Sendable {
  private let store: any JobStore
  private let pollInterval: Duration
  private let replayTokens: Int
  private let logger: Logger
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
  public init(
    store: any JobStore, pollInterval: Duration = .seconds(1), replayTokens: Int = 4_096,
    logger: Logger
  ) {
    self.store = store
    self.pollInterval = pollInterval
    self.replayTokens = replayTokens
    self.logger = logger
  }

  /// Passes the store's signals to the watched jobs' topics, until cancelled.
  public func run() async {
    let signals = store.signals()
    await withTaskGroup(of: Void.self) { group in
      group.addTask {
        for await signal in signals { self.receive(signal) }
      }
      group.addTask {
        while (try? await Task.sleep(for: self.pollInterval)) != nil { self.lookAgain() }
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
      }
    }
  }

  /// Ends all watching, now and later, with `WatchError.closed`.
  public func close() {
    state.withLock { $0.isClosed = true }
    lookAgain()
  }

  // MARK: Reading

  private func read(_ id: JobID, from index: Int) async throws {
    do {
      guard let page = try await store.output(of: id, from: index, maxTokens: replayTokens) else {
        throw WatchError.notFound
      }
      update(id) { $0.didRead(page, from: index) }
    } catch let error as JobStoreError {
      update(id) { $0.didFailToRead() }
      if Task.isCancelled { update(id) { $0.markStale() } }
      try Task.checkCancellation()
      logger.debug("A watched job could not be read", metadata: ["error": "\(error)"])
      await waitForNews(id)
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
      page = try await store.output(of: id, from: position.index, maxTokens: count)
    } catch {
      try Task.checkCancellation()
      await waitForNews(id)
      return
    }
    guard let page else { throw WatchError.notFound }
    if page.chunks.isEmpty { await waitForNews(id) }
    for chunk in page.chunks {
      try await deliver(.tokens(chunk))
      position.index = chunk.endIndex
    }
  }

  // MARK: Waiting

  private func waitForNews(_ id: JobID) async {
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

  private func receive(_ signal: JobSignal) {
    switch signal {
    case .progressed(let id, let chunk): update(id) { $0.didSignal(chunk) }
    case .revoked(let id): update(id) { $0.markStale() }
    case .interrupted: lookAgain()
    case .ready: break
    }
  }

  private func lookAgain() {
    for id in state.withLock({ Array($0.entries.keys) }) { update(id) { $0.markStale() } }
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

/// Why a job cannot be watched.
public enum WatchError: Error, Hashable, Sendable {
  /// There is no such job, or no longer.
  case notFound
  /// The hub is closing; watch again elsewhere, from the next token index.
  case closed
}
