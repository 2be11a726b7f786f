import Foundation
public import JobQueue
import Logging
import Postgres
import Synchronization

extension PostgresJobStore {
  /// The longest that the statement of a claim may run: far less than a lease, after which a
  /// heartbeat takes a claim that it does not know of for lost. Another executor, or the next try,
  /// will do better.
  private static let claimTimeout = Duration.seconds(3)
  /// The same for one that counts the running jobs, and how long they are not counted after it took
  /// longer.
  private static let countingTimeout = Duration.milliseconds(1_500)
  private static let countingPause = Duration.seconds(60)

  public func claim(_ request: ClaimRequest) async throws(JobStoreError) -> ClaimResult {
    let room = request.room.filter { $0.value > 0 }.sorted { $0.key < $1.key }
    guard !room.isEmpty else { return ClaimResult() }
    await promoteSome()
    let answer = try await claimRows(room, executor: request.executor)
    claimPivots.withLock { $0.merge(answer.pivots) { _, new in new } }
    let tokens = await committedTokens(of: answer.jobs)
    var result = ClaimResult(modelsWithMore: answer.modelsWithMore)
    var corrupt = answer.corrupt
    var unread: [Job] = []
    for job in answer.jobs {
      switch tokens[job.id] {
      case .success(let committed)? where committed.tokens.count == Int(job.usage.outputTokens):
        result.jobs.append(
          ClaimedJob(
            job: job, committedTokens: committed.tokens, committedOutputs: committed.outputs))
      case .success?:
        corrupt.append(
          ClaimRows.Corrupt(lease: job.lease, error: JobStoreError.otherTokens))
      case .failure(let error)?:
        corrupt.append(ClaimRows.Corrupt(lease: job.lease, error: error))
      case nil: unread.append(job)
      }
    }
    var signals = result.jobs.map { JobSignal.progressed($0.job.id, nil) }
    if !corrupt.isEmpty { signals += await failCorrupt(corrupt, executor: request.executor) }
    announce(signals)
    if !unread.isEmpty {
      result.modelsWithMore.formUnion(unread.map(\.spec.model))
      // Where this fails too, they return to the queue as claims that nobody knows of.
      try await release(unread.map(\.lease), executor: request.executor)
    }
    // A clock that was given stands still meanwhile; the database's may be set back.
    if now == nil, !result.jobs.isEmpty {
      result.age = max(.zero, answer.age) + answer.received.duration(to: .now)
    }
    return result
  }

  /// Makes some scheduled jobs ready on the way. Whether that succeeds is no matter of the claim's:
  /// maintenance does it too.
  private func promoteSome() async {
    let now = now
    do throws(JobStoreError) {
      _ = try await perform(on: executorPool) { connection in
        try await connection.transaction([
          Statement.timeLimit(.seconds(1)),
          Statement.promote(limit: Statement.promotedByClaim, now: now),
        ])
      }
    } catch {
      logger.debug("no scheduled job could be made ready", metadata: ["error": "\(error)"])
    }
  }

  /// Claims. Where the running jobs cannot be counted in time, as while a snapshot that is kept open
  /// somewhere keeps every replaced row in their index, they are not counted for a while.
  private func claimRows(
    _ room: [(key: String, value: Int)], executor: ExecutorID
  ) async throws(JobStoreError) -> ClaimRows {
    guard countingRest.withLock({ $0.isOver(at: .now) }) else {
      return try await claimRows(room, executor: executor, countsRunning: false)
    }
    do {
      return try await claimRows(room, executor: executor, countsRunning: true)
    } catch  where error.sqlState == SQLState.queryCanceled.rawValue && error.code != .cancelled {
      logger.warning(
        """
        Running jobs take too long to count; claims are fair among waiting jobs only, for a while. \
        Is a transaction kept open somewhere?
        """)
      countingRest.withLock { $0.begin(for: Self.countingPause, at: .now) }
      return try await claimRows(room, executor: executor, countsRunning: false)
    }
  }

  private func claimRows(
    _ room: [(key: String, value: Int)], executor: ExecutorID, countsRunning: Bool
  ) async throws(JobStoreError) -> ClaimRows {
    let now = now
    let pivots = claimPivots.withLock { pivots in room.map { pivots[$0.key] ?? "" } }
    let limit = countsRunning ? Self.countingTimeout : Self.claimTimeout
    return try await perform(on: executorPool) { connection in
      let rows = try await connection.transaction([
        Statement.timeLimit(limit),
        Statement.planOnce,
        Statement.claim(
          executor: executor, models: room.map(\.key),
          room: room.map { Int32(clamping: min($0.value, JobLimits.jobsPerGet)) },
          tenants: pivots, countsRunning: countsRunning, now: now),
      ])
      return try ClaimRows(jobs: rows[2])
    }
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

  /// By priority, then age.
  var jobs: [Job] = []
  var corrupt: [Corrupt] = []
  /// Where the next claim of a model begins to look.
  var pivots: [String: String] = [:]
  /// For which models more jobs were ready than were handed out.
  var modelsWithMore: Set<String> = []
  /// How long ago the claim's time was when the rows were written, and when they were received.
  var age = Duration.zero
  let received = ContinuousClock.now

  /// - Throws: only for what no row can be blamed for.
  init(jobs rows: Rows) throws {
    var left: [String: Int64] = [:]
    for row in rows {
      let model: String = try row.decode("asked_model")
      age = .microseconds(try row.decode("age_us", as: Int64.self))
      pivots[model] = try row.decode("next_tenant", as: String?.self) ?? ""
      if left[model] == nil { left[model] = try row.decode("seen") }
      guard let id = try row.decode("id", as: UUID?.self) else { continue }
      left[model, default: 0] -= 1
      let lease = Lease(job: JobID(id), epoch: try row.decode("epoch"))
      do {
        let job = try Job(row: row)
        guard job.spec.prompt != nil else {
          throw JobStoreError(code: .internal, message: "it has no prompt")
        }
        jobs.append(job)
      } catch {
        corrupt.append(Corrupt(lease: lease, error: error))
      }
    }
    modelsWithMore = Set(left.filter { $0.value > 0 }.keys)
    jobs.sort { Self.isBefore($0, $1) }
  }

  /// The order of a claim's answer: by priority, then age.
  private static func isBefore(_ left: Job, _ right: Job) -> Bool {
    (-Int64(left.spec.priority), left.createTime, left.id)
      < (-Int64(right.spec.priority), right.createTime, right.id)
  }
}

extension Job {
  /// The lease of a job that was just claimed.
  fileprivate var lease: Lease { Lease(job: id, epoch: epoch) }
}

extension JobStoreError {
  fileprivate static let otherTokens = JobStoreError(
    code: .internal, message: "it counts other tokens than are stored")
}
