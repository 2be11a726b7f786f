import Foundation
public import JobQueue
import Postgres

extension PostgresJobStore {
  public func register(
    _ executor: ExecutorDescription, leaseDuration: Duration
  ) async throws(JobStoreError) {
    let statement = Statement.register(executor, leaseDuration: leaseDuration, now: now)
    try await perform { _ = try await $0.query(statement) }
  }

  public func claim(_ request: ClaimRequest) async throws(JobStoreError) -> [ClaimedJob] {
    let room = request.room.filter { $0.value > 0 }.sorted { $0.key < $1.key }
    guard !room.isEmpty else { return [] }
    let now = now
    let promoteLimit = Int32(clamping: configuration.maintenanceBatch)
    return try await perform { connection in
      let rows = try await connection.transaction([
        Statement.promote(limit: promoteLimit, now: now),
        Statement.claim(
          executor: request.executor, models: room.map(\.key),
          room: room.map { Int32(clamping: min($0.value, JobLimits.jobsPerGet)) }, now: now),
        Statement.claimedTokens(executor: request.executor, now: now),
      ])
      var tokens: [JobID: [Int32]] = [:]
      for row in rows[2] {
        tokens[JobID(try row.decode("job_id")), default: []] += try row.decode(
          "token_ids", as: [Int32].self)
      }
      return try rows[1].map { row in
        let job = try Job(row: row)
        let committed = tokens[job.id] ?? []
        guard committed.count == Int(job.usage.outputTokens) else {
          throw JobStoreError(
            code: .internal, message: "job \(job.id) counts other tokens than are stored")
        }
        return ClaimedJob(job: job, committedTokens: committed)
      }
      .sorted { Self.claimOrder($0.job, $1.job) }
    }
  }

  /// The order of a claim's answer: by priority, then age.
  private static func claimOrder(_ left: Job, _ right: Job) -> Bool {
    (-Int64(left.spec.priority), left.createTime, left.id)
      < (-Int64(right.spec.priority), right.createTime, right.id)
  }

  public func heartbeat(
    _ executor: ExecutorID, leases: [Lease], leaseDuration: Duration
  ) async throws(JobStoreError) -> HeartbeatResult {
    let now = now
    let (result, hasReleased) = try await perform { connection in
      let rows = try await connection.transaction([
        Statement.heartbeat(executor, leaseDuration: leaseDuration, now: now),
        Statement.releaseUnnamed(
          leases, executor: executor, leaseDuration: leaseDuration, now: now),
        Statement.held(leases, executor: executor),
      ])
      guard let row = rows[0].first else {
        return (HeartbeatResult(isRegistered: false, isDraining: false, held: []), false)
      }
      let held = try rows[2].map {
        Lease(job: JobID(try $0.decode("id")), epoch: try $0.decode("epoch"))
      }
      return (
        HeartbeatResult(
          isRegistered: true, isDraining: try row.decode("is_draining"), held: Set(held)),
        !rows[1].isEmpty
      )
    }
    if hasReleased { announce([.ready]) }
    return result
  }

  public func release(
    _ leases: [Lease], executor: ExecutorID
  ) async throws(JobStoreError) {
    guard !leases.isEmpty else { return }
    let released = try await perform {
      try await $0.query(.release(leases, executor: executor)).count
    }
    if released > 0 { announce([.ready]) }
  }

  public func deregister(_ executor: ExecutorID) async throws(JobStoreError) {
    let released = try await perform { connection in
      try await connection.transaction([
        Statement.forget(executor), Statement.releaseAll(executor: executor),
      ])[1].count
    }
    if released > 0 { announce([.ready]) }
  }

  public func executors() async throws(JobStoreError) -> [ExecutorStatus] {
    try await perform { connection in
      try await connection.query(.executors).map { row in
        ExecutorStatus(
          description: ExecutorDescription(
            id: ExecutorID(try row.decode("id", as: UUID.self)), host: try row.decode("host"),
            processID: try row.decode("process_id"), models: try row.decode("models"),
            slots: try row.decode("slots")),
          startTime: try row.decode("start_time"), heartbeatTime: try row.decode("heartbeat_time"),
          expireTime: try row.decode("expire_time"), isDraining: try row.decode("is_draining"),
          runningJobs: try row.decode("running_jobs"))
      }
    }
  }

  public func drain(_ executor: ExecutorID) async throws(JobStoreError) -> Bool {
    try await perform { try await !$0.query(.drain(executor)).isEmpty }
  }
}
