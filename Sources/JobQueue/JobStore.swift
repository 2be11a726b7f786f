/// The queue and everything it remembers: jobs, leases, output, executors.
///
/// Jobs are answered without their prompts, except by `claim` and `job`.
///
/// Two stores implement it, one in memory and one on PostgreSQL; one conformance suite holds both
/// to the same words. Every method is one transaction: it happens whole or not at all.
///
/// The store has its own clock, so that machines whose clocks differ agree about leases.
///
/// What follows jobs, their output and the store's signals, is in `WatchedStore`.
public protocol JobStore: WatchedStore {
  // MARK: Clients

  /// Stores new jobs, all or none, in order.
  ///
  /// A submission whose (tenant, request id) is known already is answered with the job of the
  /// first one, unchanged. Both are compared byte for byte.
  /// - Throws: `.exhausted` when there would be more queued jobs than the store's limit. What is
  ///   known already is answered all the same.
  func submit(_ submissions: [Submission]) async throws(JobStoreError) -> [SubmitResult]

  /// The jobs that were submitted under these request ids, as far as there are any, in no
  /// particular order.
  func submitted(
    tenant: String, requestIDs: [String]
  ) async throws(JobStoreError) -> [Job]

  /// One job with its prompt; `nil` when there is none, or it is another tenant's.
  func job(_ id: JobID, tenant: String?) async throws(JobStoreError) -> Job?

  /// The jobs that exist among these, in no particular order.
  ///
  /// With a tenant, only that tenant's jobs exist.
  func jobs(_ ids: [JobID], tenant: String?) async throws(JobStoreError) -> [Job]

  /// One page of jobs, newest first.
  func list(_ filter: JobFilter, page: PageRequest) async throws(JobStoreError) -> JobPage

  /// Ends a queued or running job at once; a job that has ended already is answered as it is.
  ///
  /// - Returns: the job as it now is; `nil` when there is no such job.
  func cancel(_ id: JobID, tenant: String?) async throws(JobStoreError) -> Job?

  // MARK: Executors

  /// Makes the executor known and starts its lease; called again, it renews both.
  func register(
    _ executor: ExecutorDescription, leaseDuration: Duration
  ) async throws(JobStoreError)

  /// Hands queued jobs to a registered executor: by priority, then fairly between tenants (the
  /// one with fewest running jobs first), then by age. Raises each job's epoch and attempt.
  ///
  /// Where very many tenants wait, a claim may be fair among some of them only, as long as it
  /// comes round to all. A job that is stored but cannot be read is failed on the way.
  func claim(_ request: ClaimRequest) async throws(JobStoreError) -> ClaimResult

  /// Renews the executor's lease, for all of its jobs in one statement.
  ///
  /// - Returns: which of the named leases are still held. The others are lost: their jobs were
  ///   cancelled, expired, or given to another executor.
  func heartbeat(
    _ executor: ExecutorID, leases: [Lease], leaseDuration: Duration
  ) async throws(JobStoreError) -> HeartbeatResult

  /// Writes what a step of the engine brought, for many jobs in one transaction (group commit).
  ///
  /// Each write is honoured only under its lease's epoch, and only if its chunk begins where the
  /// committed output ends; a write that was committed before (its answer was lost) counts as
  /// written. One job's refused write does not disturb the others.
  func write(_ writes: [LeaseWrite]) async throws(JobStoreError) -> [WriteResult]

  /// Hands running jobs back to the queue with their output kept, not counting the attempt.
  func release(_ leases: [Lease], executor: ExecutorID) async throws(JobStoreError)

  /// Gives running jobs up whose output the store does not take, the attempt counted: they return to
  /// the queue with what is committed of them, or fail when no attempt is left.
  func abandon(_ leases: [Lease], executor: ExecutorID) async throws(JobStoreError)

  /// Forgets an executor; its remaining jobs return to the queue as by `release`.
  func deregister(_ executor: ExecutorID) async throws(JobStoreError)

  // MARK: Maintenance

  /// Returns jobs of executors whose leases ran out to the queue, or fails them when no attempt
  /// is left, and forgets those executors.
  func rescue(limit: Int) async throws(JobStoreError) -> [Job]

  /// Expires jobs, queued or running, whose deadline has passed.
  func expire(limit: Int) async throws(JobStoreError) -> [Job]

  /// Deletes jobs that ended longer ago than this, with their output, oldest first.
  /// - Returns: how many it were; below the limit does not mean that none are left.
  func prune(olderThan retention: Duration, limit: Int) async throws(JobStoreError) -> Int

  // MARK: Looking on

  /// Finds out whether the store answers those who claim and commit, as cheaply as can be: for
  /// health checks.
  /// - Throws: `.unavailable` when it does not.
  func ping() async throws(JobStoreError)

  func executors() async throws(JobStoreError) -> [ExecutorStatus]

  /// Marks an executor as draining: it claims no more and hands its jobs back.
  /// - Returns: whether there is such an executor.
  func drain(_ executor: ExecutorID) async throws(JobStoreError) -> Bool

  func statistics() async throws(JobStoreError) -> QueueStatistics
}

/// A job to be stored.
public struct Submission: Hashable, Sendable {
  public var id: JobID
  public var tenant: String
  /// The client's name for this submission; `nil` makes every submission a new job.
  public var requestID: String?
  public var spec: GenerationSpec

  public init(id: JobID, tenant: String, requestID: String?, spec: GenerationSpec) {
    self.id = id
    self.tenant = tenant
    self.requestID = requestID
    self.spec = spec
  }
}

/// The stored job of a submission, and whether this submission made it.
public struct SubmitResult: Hashable, Sendable {
  public var job: Job
  public var isNew: Bool

  public init(job: Job, isNew: Bool) {
    self.job = job
    self.isNew = isNew
  }
}

/// What an executor has room for.
public struct ClaimRequest: Hashable, Sendable {
  public var executor: ExecutorID
  /// Per model name, how many more jobs fit.
  public var room: [String: Int]

  public init(executor: ExecutorID, room: [String: Int]) {
    self.executor = executor
    self.room = room
  }
}

/// What a claim brought.
public struct ClaimResult: Hashable, Sendable {
  /// By priority, then age.
  public var jobs: [ClaimedJob]
  /// Of the models that were asked for, those for which more jobs were ready than were handed out:
  /// there was no room for them, or another claim held them at that moment. Asking again is worth
  /// it. For the others the queue had nothing more.
  public var modelsWithMore: Set<String>
  /// How long ago the jobs were claimed, as the store dates it: times of their tokens count from there.
  public var age: Duration

  public init(
    jobs: [ClaimedJob] = [], modelsWithMore: Set<String> = [], age: Duration = .zero
  ) {
    self.jobs = jobs
    self.modelsWithMore = modelsWithMore
    self.age = age
  }
}

/// What became of an executor's leases.
public struct HeartbeatResult: Hashable, Sendable {
  /// Whether the executor is still registered. If not, it must register again and has lost all.
  public var isRegistered: Bool
  /// Whether someone asked the executor to drain.
  public var isDraining: Bool
  public var held: Set<Lease>

  public init(isRegistered: Bool, isDraining: Bool, held: Set<Lease>) {
    self.isRegistered = isRegistered
    self.isDraining = isDraining
    self.held = held
  }
}

/// One job's share of a group commit.
public struct LeaseWrite: Hashable, Sendable {
  public var lease: Lease
  /// The new output; `nil` or empty when only the end is written.
  public var chunk: OutputChunk?
  /// The model that made the output.
  public var modelFingerprint: String
  /// Prompt and speculation counts so far. `outputTokens` is ignored: the store counts.
  public var usage: Usage
  /// The end, committed together with the last chunk.
  public var end: JobEnd?

  public init(
    lease: Lease, chunk: OutputChunk?, modelFingerprint: String, usage: Usage, end: JobEnd?
  ) {
    self.lease = lease
    self.chunk = chunk
    self.modelFingerprint = modelFingerprint
    self.usage = usage
    self.end = end
  }
}

/// How an executor ends a job.
public enum JobEnd: Hashable, Sendable {
  /// With the reason of output 0, and those of the outputs after it where there are several.
  case succeeded(FinishReason, alternatives: [FinishReason] = [])
  case failed(JobFailure)
}

/// What became of one write.
public enum WriteResult: Hashable, Sendable {
  /// Committed, by this call or an earlier one.
  case written
  /// The lease had moved on, or the job had ended: nothing was changed.
  case leaseLost
}
