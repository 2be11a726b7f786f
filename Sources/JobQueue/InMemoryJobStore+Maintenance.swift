import Synchronization

extension InMemoryJobStore {
  public func rescue(limit: Int) async throws(JobStoreError) -> [Job] {
    let now = now()
    return try change { state, signals in
      let lost = state.jobs.values.map(\.job).filter { job in
        guard job.state == .running, let executor = job.executor else { return false }
        return state.executors[executor].map { $0.expireTime <= now } ?? true
      }
      .sorted { $0.id < $1.id }
      var rescued: [Job] = []
      for var job in lost.prefix(max(limit, 0)) where job.rescue(at: now) {
        state.jobs[job.id]?.job = job
        rescued.append(job.withoutPrompt)
      }
      signals += JobSignal.rescued(rescued)
      let busy = Set(
        state.jobs.values.filter { $0.job.state == .running }.compactMap(\.job.executor))
      state.executors = state.executors.filter {
        $0.value.expireTime > now || busy.contains($0.key)
      }
      return rescued
    }
  }

  public func expire(limit: Int) async throws(JobStoreError) -> [Job] {
    let now = now()
    return try change { state, signals in
      let overdue = state.jobs.values.map(\.job).filter { $0.isOverdue(at: now) }
        .sorted { left, right in
          let leftDeadline = left.spec.deadline ?? now
          let rightDeadline = right.spec.deadline ?? now
          return (leftDeadline, left.id) < (rightDeadline, right.id)
        }
      var expired: [Job] = []
      for var job in overdue.prefix(max(limit, 0)) {
        let wasRunning = job.state == .running
        guard job.revoke(as: .expired, at: now) else { continue }
        state.jobs[job.id]?.job = job
        expired.append(job.withoutPrompt)
        if wasRunning { signals.append(.revoked(job.id)) }
        signals.append(.progressed(job.id, nil))
      }
      return expired
    }
  }

  public func prune(
    olderThan retention: Duration, limit: Int
  ) async throws(JobStoreError) -> Int {
    let now = now()
    return state.withLock { state in
      let old = state.jobs.values.map(\.job)
        .filter { job in job.finishTime.map { $0 + retention <= now } ?? false }
        .sorted { ($0.finishTime ?? now, $0.id) < ($1.finishTime ?? now, $1.id) }
        .prefix(max(limit, 0))
      for job in old { state.remove(job) }
      return old.count
    }
  }

  public func statistics() async throws(JobStoreError) -> QueueStatistics {
    let now = now()
    return state.withLock { state in
      var jobs: [JobState: Int64] = [:]
      for state in JobState.allCases { jobs[state] = 0 }
      var outputTokens: Int64 = 0
      var oldest: Timestamp?
      for entry in state.jobs.values {
        if let end = entry.job.finishTime, end + QueueStatistics.endedWindow <= now { continue }
        jobs[entry.job.state, default: 0] += 1
        if entry.job.state != .queued { outputTokens += entry.job.usage.outputTokens }
        guard entry.job.isReady(at: now) else { continue }
        let ready = max(entry.job.createTime, entry.job.spec.runAfter ?? entry.job.createTime)
        oldest = oldest.map { min($0, ready) } ?? ready
      }
      return QueueStatistics(jobs: jobs, oldestReadyTime: oldest, outputTokens: outputTokens)
    }
  }
}
