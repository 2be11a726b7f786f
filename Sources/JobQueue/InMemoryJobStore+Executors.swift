import Synchronization

extension InMemoryJobStore {
  public func register(
    _ executor: ExecutorDescription, leaseDuration: Duration
  ) async throws(JobStoreError) {
    let now = now()
    state.withLock { state in
      let known = state.executors[executor.id]
      state.executors[executor.id] = ExecutorStatus(
        description: executor, startTime: known?.startTime ?? now, heartbeatTime: now,
        expireTime: now + leaseDuration, isDraining: known?.isDraining ?? false, runningJobs: 0)
    }
  }

  public func claim(_ request: ClaimRequest) async throws(JobStoreError) -> ClaimResult {
    let now = now()
    return try change { state, signals in
      guard let executor = state.executors[request.executor], !executor.isDraining,
        executor.expireTime > now
      else { return ClaimResult() }
      let running = state.runningPerTenant()
      var result = ClaimResult()
      for (model, room) in request.room where room > 0 {
        let candidates = state.candidates(for: model, running: running, at: now)
        for id in candidates.prefix(room) {
          guard var entry = state.jobs[id], entry.job.claim(by: request.executor, at: now) else {
            continue
          }
          entry.claimTime = now
          state.jobs[id] = entry
          result.jobs.append(ClaimedJob(job: entry.job, committed: entry.chunks))
        }
        if candidates.count > room { result.modelsWithMore.insert(model) }
      }
      signals += result.jobs.map { .progressed($0.job.id, nil) }
      result.jobs.sort { $0.job.goesBefore($1.job) }
      return result
    }
  }

  public func heartbeat(
    _ executor: ExecutorID, leases: [Lease], leaseDuration: Duration
  ) async throws(JobStoreError) -> HeartbeatResult {
    let now = now()
    return try change { state, signals in
      guard var status = state.executors[executor] else {
        return HeartbeatResult(isRegistered: false, isDraining: false, held: [])
      }
      status.heartbeatTime = now
      status.expireTime = now + leaseDuration
      state.executors[executor] = status
      // What the executor was given but does not name is a claim whose answer it never got.
      let named = Set(leases)
      let forgotten = state.jobs.values.filter { entry in
        let lease = Lease(job: entry.job.id, epoch: entry.job.epoch)
        return entry.job.state == .running && entry.job.executor == executor
          && !named.contains(lease) && (entry.claimTime.map { $0 + leaseDuration < now } ?? true)
      }
      signals += JobSignal.requeued(state.release(forgotten.map(\.job)))
      let held = named.filter { lease in
        state.jobs[lease.job].map {
          $0.job.isHeld(under: lease) && $0.job.executor == executor
        } ?? false
      }
      return HeartbeatResult(isRegistered: true, isDraining: status.isDraining, held: held)
    }
  }

  public func release(
    _ leases: [Lease], executor: ExecutorID
  ) async throws(JobStoreError) {
    try change { state, signals in
      signals += JobSignal.requeued(state.release(state.held(leases, by: executor)))
    }
  }

  public func abandon(
    _ leases: [Lease], executor: ExecutorID
  ) async throws(JobStoreError) {
    let now = now()
    try change { state, signals in
      var abandoned: [Job] = []
      for var job in state.held(leases, by: executor) where job.rescue(at: now) {
        state.jobs[job.id]?.job = job
        abandoned.append(job)
      }
      signals += JobSignal.rescued(abandoned)
    }
  }

  public func deregister(_ executor: ExecutorID) async throws(JobStoreError) {
    try change { state, signals in
      state.executors[executor] = nil
      let held = state.jobs.values.map(\.job).filter {
        $0.state == .running && $0.executor == executor
      }
      signals += JobSignal.requeued(state.release(held))
    }
  }

  public func executors() async throws(JobStoreError) -> [ExecutorStatus] {
    state.withLock { state in
      var running: [ExecutorID: Int32] = [:]
      for entry in state.jobs.values where entry.job.state == .running {
        if let executor = entry.job.executor { running[executor, default: 0] += 1 }
      }
      return state.executors.values.map { status in
        var status = status
        status.runningJobs = running[status.description.id] ?? 0
        return status
      }
      .sorted {
        ($0.startTime, $0.description.id.description)
          < ($1.startTime, $1.description.id.description)
      }
    }
  }

  public func drain(_ executor: ExecutorID) async throws(JobStoreError) -> Bool {
    state.withLock { state in
      guard state.executors[executor] != nil else { return false }
      state.executors[executor]?.isDraining = true
      return true
    }
  }
}

extension InMemoryJobStore.State {
  func runningPerTenant() -> [ExactText: Int] {
    var running: [ExactText: Int] = [:]
    for entry in jobs.values where entry.job.state == .running {
      running[ExactText(entry.job.tenant), default: 0] += 1
    }
    return running
  }

  /// The ready jobs of a model in the order of claiming: by priority, then by rank, which is the
  /// number of jobs the tenant would have running with it, then by age.
  func candidates(for model: String, running: [ExactText: Int], at now: Timestamp) -> [JobID] {
    let ready = jobs.values.map(\.job).filter {
      $0.spec.model.isExactly(model) && $0.isReady(at: now)
    }
    var taken = running
    let ranked = ready.sorted { $0.goesBefore($1) }.map { job in
      taken[ExactText(job.tenant), default: 0] += 1
      return (job: job, rank: taken[ExactText(job.tenant)] ?? 0)
    }
    return ranked.sorted { left, right in
      (-Int64(left.job.spec.priority), left.rank, left.job.createTime, left.job.id)
        < (-Int64(right.job.spec.priority), right.rank, right.job.createTime, right.job.id)
    }
    .map(\.job.id)
  }

  /// The running jobs that an executor holds under these leases.
  func held(_ leases: [Lease], by executor: ExecutorID) -> [Job] {
    leases.compactMap { lease in
      guard let job = jobs[lease.job]?.job, job.isHeld(under: lease), job.executor == executor
      else { return nil }
      return job
    }
  }

  /// Returns running jobs to the queue.
  /// - Returns: which it were.
  mutating func release(_ held: [Job]) -> [JobID] {
    var released: [JobID] = []
    for var job in held where job.release(Lease(job: job.id, epoch: job.epoch)) {
      jobs[job.id]?.job = job
      released.append(job.id)
    }
    return released
  }
}

extension Job {
  /// The order of a claim: by priority, then age.
  fileprivate func goesBefore(_ other: Job) -> Bool {
    (-Int64(spec.priority), createTime, id)
      < (-Int64(other.spec.priority), other.createTime, other.id)
  }
}
