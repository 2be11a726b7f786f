import JobQueue
import Synchronization

/// A store whose jobs the test moves by itself, and which counts what it is asked.
final class ScriptedStore: WatchedStore {
  private struct State {
    var pages: [JobID: OutputPage] = [:]
    var failures: [JobStoreError] = []
    var reads: [JobID: Int] = [:]
    var readsUnderWay = 0
    var mostReadsUnderWay = 0
    var looks: [Int] = []
    var crowd: [CheckedContinuation<Void, Never>] = []
    var awaitedCrowd: Int
  }

  private let state: Mutex<State>
  private let hub = JobSignalHub()
  /// Says how many questions there were, after every one.
  let looks: AsyncStream<Int>
  private let looksInput: AsyncStream<Int>.Continuation

  /// - Parameter crowd: the first so many reads wait for each other.
  init(crowd: Int = 0) {
    state = Mutex(State(awaitedCrowd: crowd))
    (looks, looksInput) = AsyncStream.makeStream()
  }

  // MARK: The test's side

  func put(_ job: Job, _ chunks: [OutputChunk] = []) {
    state.withLock { $0.pages[job.id] = OutputPage(job: job, chunks: chunks) }
  }

  func remove(_ id: JobID) {
    state.withLock { _ = $0.pages.removeValue(forKey: id) }
  }

  /// Lets the next reads fail.
  func fail(_ errors: [JobStoreError]) {
    state.withLock { $0.failures = errors }
  }

  func emit(_ signals: [JobSignal]) { hub.emit(signals) }

  var readCount: Int { state.withLock { $0.reads.values.reduce(0, +) } }
  func readCount(of id: JobID) -> Int { state.withLock { $0.reads[id] ?? 0 } }
  var mostReadsUnderWay: Int { state.withLock { $0.mostReadsUnderWay } }
  /// How many jobs each question was about.
  var lookSizes: [Int] { state.withLock { $0.looks } }

  /// Waits until so many questions more were answered.
  func waitForLooks(_ count: Int) async {
    let goal = lookSizes.count + count
    for await number in looks where number >= goal { return }
  }

  // MARK: The hub's side

  func output(
    of id: JobID, from index: Int, maxTokens: Int
  ) async throws(JobStoreError) -> OutputPage? {
    state.withLock { state in
      state.reads[id, default: 0] += 1
      state.readsUnderWay += 1
      state.mostReadsUnderWay = max(state.mostReadsUnderWay, state.readsUnderWay)
    }
    defer { state.withLock { $0.readsUnderWay -= 1 } }
    await gather()
    for _ in 0..<5 { await Task.yield() }
    let answer = state.withLock { state -> Result<OutputPage?, JobStoreError> in
      if !state.failures.isEmpty { return .failure(state.failures.removeFirst()) }
      return .success(state.pages[id])
    }
    guard var page = try answer.get() else { return nil }
    page.chunks = page.chunks.filter { $0.endIndex > index }.map { $0.dropping(before: index) }
    return page
  }

  /// Waits until the crowd is there.
  private func gather() async {
    await withCheckedContinuation { continuation in
      let ready = state.withLock { state -> [CheckedContinuation<Void, Never>] in
        state.crowd.append(continuation)
        guard state.crowd.count >= state.awaitedCrowd else { return [] }
        state.awaitedCrowd = 0
        defer { state.crowd = [] }
        return state.crowd
      }
      for one in ready { one.resume() }
    }
  }

  func progress(of ids: [JobID]) async throws(JobStoreError) -> [JobID: JobProgress] {
    state.withLock { state in
      state.looks.append(ids.count)
      looksInput.yield(state.looks.count)
      return ids.reduce(into: [:]) { $0[$1] = state.pages[$1]?.job.progress }
    }
  }

  func signals() -> AsyncStream<JobSignal> { hub.subscribe() }
}
