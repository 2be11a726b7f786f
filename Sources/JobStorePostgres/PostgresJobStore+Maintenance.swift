import Foundation
public import JobQueue
import Logging
import Postgres

extension PostgresJobStore {
  public func rescue(limit: Int) async throws(JobStoreError) -> [Job] {
    let now = now
    let jobs = try await perform(on: executorPool) { connection in
      try await self.rescue(limit: limit, now: now, on: connection)
    }
    announce(JobSignal.rescued(jobs))
    return jobs
  }

  private func rescue(
    limit: Int, now: Timestamp?, on connection: Connection
  ) async throws -> [Job] {
    let rows = try await connection.transaction([
      Statement.rescue(limit: Int32(clamping: max(limit, 0)), now: now),
      Statement.forgetExpired(now: now),
    ])
    return readable(rows[0])
  }

  /// Ends the leases of all executors and returns their jobs to the queue, the attempt counted.
  ///
  /// For the start of a service whose database is its own, when it is known that no process of an
  /// earlier start lives: its jobs need not wait until their leases run out. Works before `run()`.
  public func expireLeases() async throws(JobStoreError) {
    let now = now
    do {
      let connection = try await Connection.connect(connection, logger: logger)
      try await connection.query(.endLeases(now: now))
      var rescued: [Job]
      repeat {
        rescued = try await rescue(limit: configuration.maintenanceBatch, now: now, on: connection)
        announce(JobSignal.rescued(rescued))
      } while !rescued.isEmpty
      await connection.close()
    } catch {
      throw JobStoreError(mapping: error)
    }
  }

  public func expire(limit: Int) async throws(JobStoreError) -> [Job] {
    let now = now
    let (jobs, running) = try await perform(on: executorPool) { connection in
      let rows = try await connection.query(
        .expire(limit: Int32(clamping: max(limit, 0)), now: now))
      let running = try rows.filter { try $0.decode("was_running", as: Bool.self) }
      return (self.readable(rows), try running.map { JobID(try $0.decode("id")) })
    }
    announce(running.map { .revoked($0) } + jobs.map { .progressed($0.id, nil) })
    return jobs
  }

  public func prune(
    olderThan retention: Duration, limit: Int
  ) async throws(JobStoreError) -> Int {
    let statement = Statement.prune(
      olderThan: retention, limit: Int32(clamping: max(limit, 0)), now: now)
    return try await perform { try await $0.query(statement).count }
  }

  /// The jobs of rows, without those that cannot be read, which must not hide the others.
  func readable(_ rows: some Sequence<Row>) -> [Job] {
    rows.compactMap { row in
      do {
        return try Job(row: row)
      } catch {
        let id = (try? row.decode("id", as: UUID.self)).map { JobID($0).description }
        logger.error(
          "A job cannot be read", metadata: ["job": "\(id ?? "unknown")", "error": "\(error)"])
        return nil
      }
    }
  }

  public func statistics() async throws(JobStoreError) -> QueueStatistics {
    let now = now
    return try await perform { connection in
      let rows = try await connection.transaction(
        [
          Statement.queuedJobs,
          Statement.statistics(endedWithin: QueueStatistics.endedWindow, now: now),
          Statement.oldestReady(now: now),
        ], .snapshot)
      var jobs: [JobState: Int64] = [:]
      for state in JobState.allCases { jobs[state] = 0 }
      var outputTokens: Int64 = 0
      jobs[.queued] = try rows[0].first?.decode("jobs") ?? 0
      for row in rows[1] {
        jobs[try row.decodeCase("state")] = try row.decode("jobs", as: Int64.self)
        outputTokens += try row.decode("output_tokens", as: Int64.self)
      }
      return QueueStatistics(
        jobs: jobs, oldestReadyTime: try rows[2].first?.decode("time", as: Timestamp?.self) ?? nil,
        outputTokens: outputTokens)
    }
  }

  /// Looks for expired leases, passed deadlines, scheduled jobs whose time has come and jobs that
  /// have been kept for long enough, again and again. Several processes may do so at once: each
  /// takes what the others have not locked.
  func maintain() async {
    while (try? await Task.sleep(for: configuration.maintenanceInterval)) != nil {
      await attempt("maintenance") { () async throws(JobStoreError) in try await moveJobs() }
      await attempt("the deletion of old jobs") { () async throws(JobStoreError) in
        try await deleteOldJobs()
      }
      await countQueue(isUrgent: false)
    }
  }

  private func moveJobs() async throws(JobStoreError) {
    let rescued = try await rescue(limit: configuration.maintenanceBatch)
    let expired = try await expire(limit: configuration.maintenanceBatch)
    let limit = Int32(clamping: configuration.maintenanceBatch)
    let now = now
    let promoted = try await perform(on: executorPool) {
      try await $0.query(.promote(limit: limit, now: now)).count
    }
    if promoted > 0 { announce([.ready]) }
    if !rescued.isEmpty || !expired.isEmpty {
      logger.info("maintenance: \(rescued.count) jobs rescued, \(expired.count) expired")
    }
  }

  private func deleteOldJobs() async throws(JobStoreError) {
    guard let retention = configuration.retention else { return }
    let count = try await prune(olderThan: retention, limit: configuration.maintenanceBatch)
    if count > 0 { logger.info("maintenance: \(count) old jobs deleted") }
  }

  private func attempt(
    _ what: String, _ body: () async throws(JobStoreError) -> Void
  ) async {
    do {
      try await body()
    } catch {
      guard error.code != .cancelled else { return }
      logger.log(
        level: error.code == .unavailable ? .debug : .warning, "\(what) failed",
        metadata: ["error": "\(error)"])
    }
  }
}
