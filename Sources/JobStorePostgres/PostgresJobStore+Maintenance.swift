import Foundation
public import JobQueue
import Logging
import Postgres
import Synchronization

extension PostgresJobStore {
  public func rescue(limit: Int) async throws(JobStoreError) -> [Job] {
    try await rescue(limit: limit, reach: nil)
  }

  private func rescue(limit: Int, reach: Duration?) async throws(JobStoreError) -> [Job] {
    let now = now
    let jobs = try await perform(on: executorPool) { connection in
      try await self.rescue(limit: limit, reach: reach, now: now, on: connection)
    }
    announce(JobSignal.rescued(jobs))
    return jobs
  }

  private func rescue(
    limit: Int, reach: Duration?, now: Timestamp?, on connection: Connection
  ) async throws -> [Job] {
    let rows = try await connection.transaction([
      Statement.rescue(limit: Int32(clamping: max(limit, 0)), reach: reach, now: now),
      Statement.forgetExpired(reach: reach, now: now),
    ])
    return readable(rows[0])
  }

  /// Ends the leases of this machine's processes that are gone, and returns their jobs to the queue,
  /// the attempt counted.
  ///
  /// For the start of a service, before it registers an executor of its own: what an earlier
  /// start left behind need not wait until its lease runs out. Executors that live keep theirs,
  /// and so do those of other machines, of which nothing is known. Works before `run()`.
  public func expireLeases() async throws(JobStoreError) {
    let now = now
    do {
      let connection = try await Connection.connect(connection, logger: logger)
      let gone = try await connection.query(.executors).map { try ExecutorStatus(row: $0) }
        .map(\.description).filter(\.isGone)
      if !gone.isEmpty {
        try await connection.query(.endLeases(of: gone.map(\.id), now: now))
        var rescued: [Job]
        repeat {
          // Without reach, no leases but the ended ones count as lapsed.
          rescued = try await rescue(
            limit: configuration.maintenanceBatch, reach: .zero, now: now, on: connection)
          announce(JobSignal.rescued(rescued))
        } while !rescued.isEmpty
      }
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
    return try await perform(on: prunePool) { try await $0.query(statement).count }
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
    return try await report("the statistics") { connection in
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

  /// How long each kind of maintenance may go on in one round while its batches come back full.
  private static let roundBudget = Duration.seconds(1)

  /// Looks for expired leases, passed deadlines and scheduled jobs whose time has come, again and
  /// again. Several processes may do so at once: each takes what the others have not locked.
  func maintain() async {
    while (try? await Task.sleep(for: configuration.maintenanceInterval)) != nil {
      do throws(JobStoreError) {
        try await moveJobs()
      } catch {
        if error.code == .unavailable { reachability.withLock { $0.fail() } }
        note(error, of: "maintenance")
      }
    }
  }

  /// Deletes jobs that have been kept for long enough and counts the queue, again and again. Apart
  /// from `maintain`, which must not wait for either, and whose idea of the database's reach they
  /// must not disturb.
  func tidy() async {
    while (try? await Task.sleep(for: configuration.maintenanceInterval)) != nil {
      do throws(JobStoreError) {
        try await deleteOldJobs()
      } catch {
        note(error, of: "the deletion of old jobs")
      }
      await countQueue(isUrgent: false)
    }
  }

  private func moveJobs() async throws(JobStoreError) {
    let batch = configuration.maintenanceBatch
    let rescued = try await inBatches { () async throws(JobStoreError) in
      let reach = reachability.withLock { $0.look(at: .now) }
      return try await rescue(limit: batch, reach: reach).count
    }
    let expired = try await inBatches { () async throws(JobStoreError) in
      _ = reachability.withLock { $0.look(at: .now) }
      return try await expire(limit: batch).count
    }
    let now = now
    _ = try await inBatches { () async throws(JobStoreError) in
      _ = reachability.withLock { $0.look(at: .now) }
      let promoted = try await perform(on: executorPool) {
        try await $0.query(.promote(limit: Int32(clamping: batch), now: now)).count
      }
      if promoted > 0 { announce([.ready]) }
      return promoted
    }
    if rescued > 0 || expired > 0 {
      logger.info("maintenance: \(rescued) jobs rescued, \(expired) expired")
    }
  }

  /// Does one kind of maintenance until a batch is not full, or the time for it is over.
  /// - Returns: how many jobs were moved.
  private func inBatches(
    _ body: () async throws(JobStoreError) -> Int
  ) async throws(JobStoreError) -> Int {
    let end = ContinuousClock.now + Self.roundBudget
    var moved = 0
    while true {
      let count = try await body()
      moved += count
      guard count > 0, count >= configuration.maintenanceBatch, .now < end, !Task.isCancelled
      else { return moved }
    }
  }

  private func deleteOldJobs() async throws(JobStoreError) {
    guard let retention = configuration.retention else { return }
    let count = try await prune(olderThan: retention, limit: configuration.maintenanceBatch)
    if count > 0 { logger.info("maintenance: \(count) old jobs deleted") }
  }

  private func note(_ error: JobStoreError, of what: String) {
    guard error.code != .cancelled else { return }
    logger.log(
      level: error.code == .unavailable ? .debug : .warning, "\(what) failed",
      metadata: ["error": "\(error)"])
  }
}

extension ExecutorDescription {
  /// Whether it was a process of this machine that has ended.
  ///
  /// An executor with this process's own number is one of an earlier life: containers give every
  /// start the same number. Another process's number may be that of a later one too, which began at
  /// another time; and a process that was killed may wait for long to be noticed by its parent.
  fileprivate var isGone: Bool {
    guard host == ProcessInfo.processInfo.hostName, processID > 0 else { return false }
    if processID == ProcessInfo.processInfo.processIdentifier { return true }
    guard let process = LocalProcess(processID) else {
      return kill(processID, 0) != 0 && errno == ESRCH
    }
    return process.isEnded || processStart.map { $0 != process.start } ?? false
  }
}
