import Foundation
public import JobQueue
import Logging
import Postgres
import Synchronization

extension PostgresJobStore {
  public func claim(_ request: ClaimRequest) async throws(JobStoreError) -> ClaimResult {
    let room = request.room.filter { $0.value > 0 }.sorted { $0.key < $1.key }
    guard !room.isEmpty else { return ClaimResult() }
    let now = now
    let pivots = claimPivots.withLock { pivots in room.map { pivots[$0.key] ?? "" } }
    let answer = try await perform(on: executorPool) { connection in
      // Five seconds in all: far less than a lease, after which a heartbeat takes a claim that it
      // does not know of for lost. Another executor, or the next try, will do better.
      let rows = try await connection.transaction([
        Statement.timeLimit(.seconds(1)),
        Statement.promote(limit: Statement.promotedByClaim, now: now),
        Statement.timeLimit(.seconds(3)),
        Statement.planOnce,
        Statement.claim(
          executor: request.executor, models: room.map(\.key),
          room: room.map { Int32(clamping: min($0.value, JobLimits.jobsPerGet)) },
          tenants: pivots, now: now),
        Statement.timeLimit(.seconds(1)),
        Statement.claimedTokens(executor: request.executor, now: now),
      ])
      return try ClaimRows(jobs: rows[4], tokens: rows[6])
    }
    claimPivots.withLock { $0.merge(answer.pivots) { _, new in new } }
    var signals = answer.jobs.map { JobSignal.progressed($0.job.id, nil) }
    if !answer.corrupt.isEmpty {
      signals += await failCorrupt(answer.corrupt, executor: request.executor)
    }
    announce(signals)
    return ClaimResult(jobs: answer.jobs, modelsWithMore: answer.modelsWithMore)
  }

  /// Fails claimed jobs that cannot be read. If that fails too, they return to the queue as claims
  /// that the executor never heard of.
  private func failCorrupt(
    _ jobs: [ClaimRows.Corrupt], executor: ExecutorID
  ) async -> [JobSignal] {
    for job in jobs {
      logger.error(
        "A claimed job cannot be read and is failed",
        metadata: ["job": "\(job.lease.job)", "error": "\(job.error)"])
    }
    let now = now
    do {
      let failed = try await perform(on: executorPool) { connection in
        try await connection.query(
          .failCorrupt(jobs.map(\.lease), executor: executor, now: now)
        ).map { JobID(try $0.decode("id")) }
      }
      return failed.map { .progressed($0, nil) }
    } catch {
      logger.error("Unreadable jobs could not be failed", metadata: ["error": "\(error)"])
      return []
    }
  }
}

/// What the database answered to a claim.
private struct ClaimRows: Sendable {
  /// A job that is now held and cannot be run.
  struct Corrupt: Sendable {
    var lease: Lease
    var error: any Error
  }

  var jobs: [ClaimedJob] = []
  var corrupt: [Corrupt] = []
  /// Where the next claim of a model begins to look.
  var pivots: [String: String] = [:]
  /// For which models more jobs were ready than were handed out.
  var modelsWithMore: Set<String> = []

  /// - Throws: only for what no row can be blamed for.
  init(jobs rows: Rows, tokens tokenRows: Rows) throws {
    var tokens: [JobID: [Int32]] = [:]
    for row in tokenRows {
      tokens[JobID(try row.decode("job_id")), default: []] += try row.decode(
        "token_ids", as: [Int32].self)
    }
    var left: [String: Int64] = [:]
    for row in rows {
      let model: String = try row.decode("asked_model")
      pivots[model] = try row.decode("next_tenant", as: String?.self) ?? ""
      if left[model] == nil { left[model] = try row.decode("seen") }
      guard let id = try row.decode("id", as: UUID?.self) else { continue }
      left[model, default: 0] -= 1
      let lease = Lease(job: JobID(id), epoch: try row.decode("epoch"))
      do {
        let job = try Job(row: row)
        let committed = tokens[job.id] ?? []
        guard job.spec.prompt != nil, committed.count == Int(job.usage.outputTokens) else {
          throw JobStoreError(
            code: .internal,
            message: "it has no prompt, or counts other tokens than are stored")
        }
        jobs.append(ClaimedJob(job: job, committedTokens: committed))
      } catch {
        corrupt.append(Corrupt(lease: lease, error: error))
      }
    }
    modelsWithMore = Set(left.filter { $0.value > 0 }.keys)
    jobs.sort { Self.isBefore($0.job, $1.job) }
  }

  /// The order of a claim's answer: by priority, then age.
  private static func isBefore(_ left: Job, _ right: Job) -> Bool {
    (-Int64(left.spec.priority), left.createTime, left.id)
      < (-Int64(right.spec.priority), right.createTime, right.id)
  }
}
