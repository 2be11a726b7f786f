import Synchronization

/// The queue in the memory of one process: for tests, trials and single runs.
///
/// It keeps the same words as the database store, with the transitions of `JobTransition`, under
/// one lock. Nothing survives the process, and nothing is done in the background: whoever wants
/// leases and deadlines enforced calls `rescue` and `expire`.
public final class InMemoryJobStore: JobStore {
  /// A job and what belongs to it.
  struct Entry {
    var job: Job
    var chunks: [OutputChunk] = []
    /// When the lease in force was given.
    var claimTime: Timestamp?
  }

  struct RequestKey: Hashable {
    var tenant: String
    var requestID: String
  }

  struct State {
    var jobs: [JobID: Entry] = [:]
    var requests: [RequestKey: JobID] = [:]
    var executors: [ExecutorID: ExecutorStatus] = [:]
  }

  let state = Mutex(State())
  let hub = JobSignalHub()
  let now: @Sendable () -> Timestamp

  /// - Parameter now: the store's clock.
  public init(now: @escaping @Sendable () -> Timestamp = { .now }) {
    self.now = now
  }

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
