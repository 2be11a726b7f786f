import Synchronization

/// The queue in the memory of one process: for tests, trials and single runs.
///
/// It keeps the same words as the database store, with the transitions of `JobTransition`, under
/// one lock. Nothing survives the process, and nothing is done in the background: whoever wants
/// leases and deadlines enforced calls `rescue` and `expire`, and `prune` against growth.
public final class InMemoryJobStore: JobStore {
  /// A job and what belongs to it.
  struct Entry {
    var job: Job
    var chunks: [OutputChunk] = []
    /// When the lease in force was given.
    var claimTime: Timestamp?
  }

  struct RequestKey: Hashable {
    var tenant: ExactText
    var requestID: ExactText

    init(tenant: String, requestID: String) {
      self.tenant = ExactText(tenant)
      self.requestID = ExactText(requestID)
    }
  }

  struct State {
    var jobs: [JobID: Entry] = [:]
    var requests: [RequestKey: JobID] = [:]
    var executors: [ExecutorID: ExecutorStatus] = [:]
  }

  let state = Mutex(State())
  let hub = JobSignalHub()
  let maxQueuedJobs: Int
  let now: @Sendable () -> Timestamp

  /// - Parameters:
  ///   - maxQueuedJobs: how many jobs may wait; a submission beyond it is refused.
  ///   - now: the store's clock.
  public init(
    maxQueuedJobs: Int = JobLimits.defaultQueuedJobs,
    now: @escaping @Sendable () -> Timestamp = { .now }
  ) {
    self.maxQueuedJobs = maxQueuedJobs
    self.now = now
  }

  /// The memory always answers.
  public func ping() async throws(JobStoreError) {}

  public func signals() -> AsyncStream<JobSignal> { hub.subscribe() }

  /// Changes the state and then announces what happened.
  func change<Value: Sendable>(
    _ body: (inout State, inout [JobSignal]) throws(JobStoreError) -> Value
  ) throws(JobStoreError) -> Value {
    var signals: [JobSignal] = []
    let outcome = state.withLock { state -> Result<Value, JobStoreError> in
      do throws(JobStoreError) {
        return .success(try body(&state, &signals))
      } catch {
        return .failure(error)
      }
    }
    hub.emit(signals)
    return try outcome.get()
  }
}
