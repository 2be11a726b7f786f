import Foundation
public import JobQueue
import Logging
import Postgres
import Synchronization

extension PostgresJobStore {
  public func register(
    _ executor: ExecutorDescription, leaseDuration: Duration
  ) async throws(JobStoreError) {
    let statement = Statement.register(executor, leaseDuration: leaseDuration, now: now)
    try await perform(on: leasePool) { _ = try await $0.query(statement) }
  }

  public func heartbeat(
    _ executor: ExecutorID, leases: [Lease], leaseDuration: Duration
  ) async throws(JobStoreError) -> HeartbeatResult {
    let now = now
    let result = try await perform(on: leasePool) { connection -> HeartbeatResult in
      let rows = try await connection.transaction([
        Statement.timeLimit(Statement.heartbeatTimeLimit),
        Statement.heartbeat(executor, leaseDuration: leaseDuration, now: now),
        Statement.held(leases, executor: executor),
      ])
      guard let row = rows[1].first else {
        return HeartbeatResult(isRegistered: false, isDraining: false, held: [])
      }
      let held = try rows[2].map {
        Lease(job: JobID(try $0.decode("id")), epoch: try $0.decode("epoch"))
      }
      return HeartbeatResult(
        isRegistered: true, isDraining: try row.decode("is_draining"), held: Set(held))
    }
    if result.isRegistered {
      await releaseUnnamed(leases, executor: executor, leaseDuration: leaseDuration, now: now)
    }
    return result
  }

  /// Hands back what the executor does not know of, after the lease is renewed: whatever becomes of
  /// this, the lease holds.
  ///
  /// It looks through all that the index has of the executor's running jobs. A snapshot that is
  /// kept open somewhere fills that with entries of rows long replaced, so it has a limit, and
  /// after one that was slow or failed it rests for the time of a lease.
  private func releaseUnnamed(
    _ leases: [Lease], executor: ExecutorID, leaseDuration: Duration, now: Timestamp?
  ) async {
    let start = ContinuousClock.now
    guard unnamedRest.withLock({ $0.isOver(at: start) }) else { return }
    var hasFailed = false
    do throws(JobStoreError) {
      let released = try await perform(on: leasePool) { connection in
        try Self.ids(
          try await connection.transaction([
            Statement.timeLimit(.seconds(1)),
            Statement.releaseUnnamed(
              leases, executor: executor, leaseDuration: leaseDuration, now: now),
          ])[1])
      }
      announce(JobSignal.requeued(released))
    } catch {
      hasFailed = true
      logger.warning(
        "Claims whose answer was lost cannot be looked for; trying again after a lease's time",
        metadata: ["error": "\(error)"])
    }
    let end = ContinuousClock.now
    if hasFailed || end - start > .milliseconds(250) {
      unnamedRest.withLock { $0.begin(for: leaseDuration, at: end) }
    }
  }

  public func release(
    _ leases: [Lease], executor: ExecutorID
  ) async throws(JobStoreError) {
    guard !leases.isEmpty else { return }
    let released = try await perform(on: executorPool) {
      try Self.ids(try await $0.query(.release(leases, executor: executor)))
    }
    announce(JobSignal.requeued(released))
  }

  public func abandon(
    _ leases: [Lease], executor: ExecutorID
  ) async throws(JobStoreError) {
    guard !leases.isEmpty else { return }
    let statement = Statement.abandon(leases, executor: executor, now: now)
    let abandoned = try await perform(on: executorPool) {
      self.readable(try await $0.query(statement))
    }
    announce(JobSignal.rescued(abandoned))
  }

  public func deregister(_ executor: ExecutorID) async throws(JobStoreError) {
    let released = try await perform(on: executorPool) { connection in
      try Self.ids(
        try await connection.transaction([
          Statement.forget(executor), Statement.releaseAll(executor: executor),
        ])[1])
    }
    announce(JobSignal.requeued(released))
  }

  private static func ids(_ rows: Rows) throws -> [JobID] {
    try rows.map { JobID(try $0.decode("id")) }
  }

  public func executors() async throws(JobStoreError) -> [ExecutorStatus] {
    try await perform { connection in
      try await connection.query(.executors).map { try ExecutorStatus(row: $0) }
    }
  }

  public func drain(_ executor: ExecutorID) async throws(JobStoreError) -> Bool {
    try await perform { try await !$0.query(.drain(executor)).isEmpty }
  }
}

extension ExecutorStatus {
  /// Reads a row of `Statement.executors`.
  init(row: Row) throws {
    self.init(
      description: ExecutorDescription(
        id: ExecutorID(try row.decode("id", as: UUID.self)), host: try row.decode("host"),
        processID: try row.decode("process_id"), processStart: try row.decode("process_start"),
        models: try row.decode("models"), slots: try row.decode("slots")),
      startTime: try row.decode("start_time"), heartbeatTime: try row.decode("heartbeat_time"),
      expireTime: try row.decode("expire_time"), isDraining: try row.decode("is_draining"),
      runningJobs: try row.decode("running_jobs"))
  }
}
