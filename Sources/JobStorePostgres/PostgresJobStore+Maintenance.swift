public import JobQueue
import Logging
import Postgres

extension PostgresJobStore {
  public func rescue(limit: Int) async throws(JobStoreError) -> [Job] {
    let now = now
    let jobs = try await perform { connection in
      let rows = try await connection.transaction([
        Statement.rescue(limit: Int32(clamping: max(limit, 0)), now: now),
        Statement.forgetExpired(now: now),
      ])
      return try rows[0].map { try Job(row: $0) }
    }
    var signals = jobs.map { JobSignal.revoked($0.id) }
    signals += jobs.filter(\.state.isTerminal).map { .progressed($0.id, nil) }
    if jobs.contains(where: { !$0.state.isTerminal }) { signals.append(.ready) }
    announce(signals)
    return jobs
  }

  public func expire(limit: Int) async throws(JobStoreError) -> [Job] {
    let now = now
    let (jobs, running) = try await perform { connection in
      let rows = try await connection.query(
        .expire(limit: Int32(clamping: max(limit, 0)), now: now))
      let jobs = try rows.map { try Job(row: $0) }
      let wasRunning = try rows.map { try $0.decode("was_running", as: Bool.self) }
      return (jobs, zip(jobs, wasRunning).filter(\.1).map(\.0.id))
    }
    announce(running.map { .revoked($0) } + jobs.map { .progressed($0.id, nil) })
    return jobs
  }

  public func statistics() async throws(JobStoreError) -> QueueStatistics {
    let now = now
    return try await perform { connection in
      let rows = try await connection.transaction(
        [Statement.statistics, Statement.oldestReady(now: now)], .snapshot)
      var jobs: [JobState: Int64] = [:]
      for state in JobState.allCases { jobs[state] = 0 }
      var outputTokens: Int64 = 0
      for row in rows[0] {
        jobs[try row.decodeCase("state")] = try row.decode("jobs", as: Int64.self)
        outputTokens += try row.decode("output_tokens", as: Int64.self)
      }
      return QueueStatistics(
        jobs: jobs, oldestReadyTime: try rows[1].first?.decode("time", as: Timestamp?.self) ?? nil,
        outputTokens: outputTokens)
    }
  }

  /// Looks for expired leases, passed deadlines and scheduled jobs whose time has come, again and
  /// again. Several processes may do so at once: each takes what the others have not locked.
  func maintain() async {
    while (try? await Task.sleep(for: configuration.maintenanceInterval)) != nil {
      do {
        let rescued = try await rescue(limit: configuration.maintenanceBatch)
        let expired = try await expire(limit: configuration.maintenanceBatch)
        let limit = Int32(clamping: configuration.maintenanceBatch)
        let now = now
        let promoted = try await perform {
          try await $0.query(.promote(limit: limit, now: now)).count
        }
        if promoted > 0 { announce([.ready]) }
        if !rescued.isEmpty || !expired.isEmpty {
          logger.info("maintenance: \(rescued.count) jobs rescued, \(expired.count) expired")
        }
      } catch {
        guard error.code != .cancelled else { continue }
        logger.log(
          level: error.code == .unavailable ? .debug : .warning, "maintenance failed",
          metadata: ["error": "\(error)"])
      }
    }
  }
}
