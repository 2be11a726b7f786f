import CGRPC
import Synchronization

/// A completion queue of the core and the thread that serves it.
///
/// It is also a task executor: handlers run on the queue's own thread, between two events, so that a
/// unary call that never waits is answered without a single change of threads. Work that comes from
/// other threads rings a bell on the queue. After `close` such work goes to the global executor.
final class CompletionQueue: TaskExecutor, Sendable {
  private struct State {
    var jobs: [UnownedJob] = []
    var bellRung = false
    var closed = false
    var thread: cgrpc_thread?
  }

  let handle: cgrpc_queue
  private let state = Mutex(State())
  private let servingThread = Atomic<UInt>(0)
  private let ended = OneShotSignal()
  private let arrivals = Mutex<[ServerCall]>([])

  /// Starts the thread. The stack is what handlers run on, so it is as large as a main thread's.
  init(name: String, stackBytes: Int = 8 << 20) throws(RPCError) {
    handle = cgrpc_queue_create()
    let tag = UInt(bitPattern: Unmanaged.passRetained(self).toOpaque())
    let thread = cgrpc_thread_start(name, stackBytes, Self.threadMain, tag)
    guard cgrpc_thread_is_valid(thread) else {
      Unmanaged.passUnretained(self).release()
      throw RPCError(
        .resourceExhausted, "no thread could be started; raise the limit of threads of this user")
    }
    state.withLock { $0.thread = thread }
  }

  private static let threadMain: cgrpc_thread_main = { tag in
    guard let address = UnsafeRawPointer(bitPattern: tag) else { return }
    let queue = Unmanaged<CompletionQueue>.fromOpaque(address).takeRetainedValue()
    queue.serve()
    cgrpc_queue_destroy(queue.handle)
    queue.ended.send()
  }

  private func serve() {
    servingThread.store(cgrpc_thread_current(), ordering: .relaxed)
    var jobsWait = false
    while true {
      let event = cgrpc_queue_next(handle, !jobsWait)
      if event.kind == CGRPC_EVENT_SHUTDOWN { break }
      if event.kind == CGRPC_EVENT_COMPLETED {
        if event.tag == Tag.wake {
          state.withLock { $0.bellRung = false }
        } else if let (target, purpose) = Tag.take(event.tag) {
          target.handle(purpose, succeeded: event.succeeded)
        }
      }
      jobsWait = runJobs()
      watchArrivals()
    }
    while runJobs() {}
    servingThread.store(0, ordering: .relaxed)
  }

  /// Runs what is there now, and says whether that has brought more.
  private func runJobs() -> Bool {
    let jobs = state.withLock { state in
      defer { state.jobs = [] }
      return state.jobs
    }
    guard !jobs.isEmpty else { return false }
    for job in jobs { job.runSynchronously(on: asUnownedTaskExecutor()) }
    return state.withLock { !$0.jobs.isEmpty }
  }

  func enqueue(_ job: consuming ExecutorJob) {
    let job = UnownedJob(job)
    let isServing = servingThread.load(ordering: .relaxed) == cgrpc_thread_current()
    let accepted = state.withLock { state in
      guard !state.closed else { return false }
      state.jobs.append(job)
      if !isServing, !state.bellRung {
        state.bellRung = true
        cgrpc_queue_post(handle, Tag.wake)
      }
      return true
    }
    if !accepted { globalConcurrentExecutor.enqueue(job) }
  }
}

extension CompletionQueue {
  /// Has a call watched for its end once its handler has run as far as it can, unless the call is
  /// over by then. From the queue's thread only.
  func watchAfterFirstRun(_ call: ServerCall) {
    arrivals.withLock { $0.append(call) }
  }

  private func watchArrivals() {
    let calls = arrivals.withLock { arrivals in
      defer { arrivals = [] }
      return arrivals
    }
    for call in calls { call.watchForClose() }
  }

  /// Ends the queue without waiting: events that are due still come, then the thread ends. Nothing may
  /// be started on the queue any more.
  func beginClose() {
    let first = state.withLock { state in
      defer { state.closed = true }
      return !state.closed
    }
    if first { cgrpc_queue_shutdown(handle) }
  }

  /// Ends the queue and waits until its thread is gone.
  func close() async {
    beginClose()
    await ended.wait()
    if let thread = takeThread() { cgrpc_thread_join(thread) }
  }

  /// Ends the queue and leaves the rest to its thread, for where nobody can wait.
  func abandon() {
    beginClose()
    if let thread = takeThread() { cgrpc_thread_detach(thread) }
  }

  private func takeThread() -> cgrpc_thread? {
    state.withLock { state in
      defer { state.thread = nil }
      return state.thread
    }
  }
}
