import Foundation
public import JobQueue
import Postgres

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
    let (result, released) = try await perform(on: leasePool) {
      connection -> (HeartbeatResult, [JobID]) in
      let rows = try await connection.transaction([
        Statement.timeLimit(Statement.heartbeatTimeLimit),
        Statement.heartbeat(executor, leaseDuration: leaseDuration, now: now),
        Statement.releaseUnnamed(
          leases, executor: executor, leaseDuration: leaseDuration, now: now),
        Statement.held(leases, executor: executor),
      ])
      guard let row = rows[1].first else {
        return (HeartbeatResult(isRegistered: false, isDraining: false, held: []), [])
      }
      let held = try rows[3].map {
        Lease(job: JobID(try $0.decode("id")), epoch: try $0.decode("epoch"))
      }
      return (
        HeartbeatResult(
          isRegistered: true, isDraining: try row.decode("is_draining"), held: Set(held)),
        try Self.ids(rows[2])
      )
    }
    announce(JobSignal.requeued(released))
    return result
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
        processID: try row.decode("process_id"), models: try row.decode("models"),
        slots: try row.decode("slots")),
      startTime: try row.decode("start_time"), heartbeatTime: try row.decode("heartbeat_time"),
      expireTime: try row.decode("expire_time"), isDraining: try row.decode("is_draining"),
      runningJobs: try row.decode("running_jobs"))
  }
}
