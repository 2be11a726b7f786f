import JobQueue
import Synchronization
import TestModels

/// A store whose answers get lost: some calls fail before anything is done, some after all of it
/// was committed, as calls to a database do whose connection breaks.
final class FaultyStore: JobStore {
  private let base: InMemoryJobStore
  private let random: Mutex<SeededNumbers>
  private let writeCount = Mutex(0)
  /// Of 100 calls by the executor, how many lose their answer.
  private let faultsPercent: Int
  /// Output beyond this index is never committed: a job that wants more cannot end, except by being
  /// cancelled.
  private let outputLimit: Int
  /// Jobs of which nothing is ever written.
  private let refusedJobs: Set<JobID>
  /// How long ago each claim was.
  private let claimAge: Duration
  /// How the store says so.
  private let code: JobStoreError.Code

  init(
    _ base: InMemoryJobStore, seed: UInt64 = 0, faultsPercent: Int = 0, outputLimit: Int = .max,
    refusedJobs: Set<JobID> = [], claimAge: Duration = .zero,
    code: JobStoreError.Code = .unavailable
  ) {
    self.base = base
    self.outputLimit = outputLimit
    self.refusedJobs = refusedJobs
    self.claimAge = claimAge
    self.code = code
    random = Mutex(SeededNumbers(seed: seed))
    self.faultsPercent = faultsPercent
  }

  private enum Fault {
    case none, before, after
  }

  private func draw() -> Fault {
    random.withLock { random in
      guard Int.random(in: 0..<100, using: &random) < faultsPercent else { return .none }
      return Bool.random(using: &random) ? .before : .after
    }
  }

  private func perform<Value: Sendable>(
    _ call: () async throws(JobStoreError) -> Value
  ) async throws(JobStoreError) -> Value {
    let lost = JobStoreError(code: code, message: "the answer was lost")
    let fault = draw()
    if fault == .before { throw lost }
    let value = try await call()
    if fault == .after { throw lost }
    return value
  }

  func register(
    _ executor: ExecutorDescription, leaseDuration: Duration
  ) async throws(JobStoreError) {
    try await perform { () async throws(JobStoreError) in
      try await base.register(executor, leaseDuration: leaseDuration)
    }
  }

  func claim(_ request: ClaimRequest) async throws(JobStoreError) -> ClaimResult {
    var result = try await perform { () async throws(JobStoreError) in
      try await base.claim(request)
    }
    result.age = claimAge
    return result
  }

  func heartbeat(
    _ executor: ExecutorID, leases: [Lease], leaseDuration: Duration
  ) async throws(JobStoreError) -> HeartbeatResult {
    try await perform { () async throws(JobStoreError) in
      try await base.heartbeat(executor, leases: leases, leaseDuration: leaseDuration)
    }
  }

  /// Transactions so far.
  var transactions: Int { writeCount.withLock { $0 } }

  func write(_ writes: [LeaseWrite]) async throws(JobStoreError) -> [WriteResult] {
    writeCount.withLock { $0 += 1 }
    guard !writes.contains(where: { refusedJobs.contains($0.lease.job) }) else {
      throw JobStoreError(code: code, message: "a job's output is not taken")
    }
    for write in writes where (write.chunk?.endIndex ?? 0) > outputLimit {
      guard try await base.job(write.lease.job, tenant: nil)?.state != .running else {
        throw JobStoreError(code: code, message: "the store is away")
      }
    }
    return try await perform { () async throws(JobStoreError) in try await base.write(writes) }
  }

  func release(_ leases: [Lease], executor: ExecutorID) async throws(JobStoreError) {
    try await perform { () async throws(JobStoreError) in
      try await base.release(leases, executor: executor)
    }
  }

  func abandon(_ leases: [Lease], executor: ExecutorID) async throws(JobStoreError) {
    try await perform { () async throws(JobStoreError) in
      try await base.abandon(leases, executor: executor)
    }
  }

  func deregister(_ executor: ExecutorID) async throws(JobStoreError) {
    try await base.deregister(executor)
  }

  func submit(_ submissions: [Submission]) async throws(JobStoreError) -> [SubmitResult] {
    try await base.submit(submissions)
  }

  func submitted(tenant: String, requestIDs: [String]) async throws(JobStoreError) -> [Job] {
    try await base.submitted(tenant: tenant, requestIDs: requestIDs)
  }

  func job(_ id: JobID, tenant: String?) async throws(JobStoreError) -> Job? {
    try await base.job(id, tenant: tenant)
  }

  func jobs(_ ids: [JobID], tenant: String?) async throws(JobStoreError) -> [Job] {
    try await base.jobs(ids, tenant: tenant)
  }

  func list(_ filter: JobFilter, page: PageRequest) async throws(JobStoreError) -> JobPage {
    try await base.list(filter, page: page)
  }

  func cancel(_ id: JobID, tenant: String?) async throws(JobStoreError) -> Job? {
    try await base.cancel(id, tenant: tenant)
  }

  func output(
    of id: JobID, from index: Int, maxTokens: Int
  ) async throws(JobStoreError) -> OutputPage? {
    try await base.output(of: id, from: index, maxTokens: maxTokens)
  }

  func progress(of ids: [JobID]) async throws(JobStoreError) -> [JobID: JobProgress] {
    try await base.progress(of: ids)
  }

  func rescue(limit: Int) async throws(JobStoreError) -> [Job] {
    try await base.rescue(limit: limit)
  }

  func expire(limit: Int) async throws(JobStoreError) -> [Job] {
    try await base.expire(limit: limit)
  }

  func prune(olderThan retention: Duration, limit: Int) async throws(JobStoreError) -> Int {
    try await base.prune(olderThan: retention, limit: limit)
  }

  func executors() async throws(JobStoreError) -> [ExecutorStatus] { try await base.executors() }

  func drain(_ executor: ExecutorID) async throws(JobStoreError) -> Bool {
    try await base.drain(executor)
  }

  func ping() async throws(JobStoreError) { try await base.ping() }

  func statistics() async throws(JobStoreError) -> QueueStatistics {
    try await base.statistics()
  }

  func signals() -> AsyncStream<JobSignal> { base.signals() }
}
