import Synchronization

extension InMemoryJobStore {
  public func submit(
    _ submissions: [Submission]
  ) async throws(JobStoreError) -> [SubmitResult] {
    guard submissions.count <= JobLimits.jobsPerSubmission else {
      throw .tooMany("jobs", limit: JobLimits.jobsPerSubmission)
    }
    for submission in submissions { try submission.checkStorable() }
    let now = now()
    return try change { state, signals throws(JobStoreError) in
      var results: [SubmitResult] = []
      do throws(JobStoreError) {
        for submission in submissions { results.append(try state.store(submission, at: now)) }
      } catch {
        for result in results where result.isNew { state.remove(result.job) }
        throw error
      }
      if results.contains(where: \.isNew) { signals.append(.ready) }
      return results
    }
  }

  public func jobs(_ ids: [JobID], tenant: String?) async throws(JobStoreError) -> [Job] {
    guard ids.count <= JobLimits.jobsPerGet else {
      throw .tooMany("ids", limit: JobLimits.jobsPerGet)
    }
    return state.withLock { state in
      Set(ids).compactMap { state.job($0, tenant: tenant) }
    }
  }

  public func list(
    _ filter: JobFilter, page: PageRequest
  ) async throws(JobStoreError) -> JobPage {
    let size = min(max(page.size, 1), JobLimits.pageSize)
    var matches = state.withLock { state in
      state.jobs.values.map(\.job).filter { filter.matches($0) }
    }
    if let cursor = page.after {
      matches.removeAll { ($0.createTime, $0.id) >= (cursor.createTime, cursor.id) }
    }
    matches.sort { ($0.createTime, $0.id) > ($1.createTime, $1.id) }
    let shown = Array(matches.prefix(size))
    guard matches.count > size, let last = shown.last else {
      return JobPage(jobs: shown, next: nil)
    }
    return JobPage(jobs: shown, next: JobCursor(createTime: last.createTime, id: last.id))
  }

  public func cancel(_ id: JobID, tenant: String?) async throws(JobStoreError) -> Job? {
    let now = now()
    return try change { state, signals in
      guard var job = state.job(id, tenant: tenant) else { return nil }
      let wasRunning = job.state == .running
      guard job.revoke(as: .cancelled, at: now) else { return job }
      state.jobs[id]?.job = job
      if wasRunning { signals.append(.revoked(id)) }
      signals.append(.progressed(id, nil))
      return job
    }
  }

  public func output(
    of id: JobID, from index: Int, maxTokens: Int
  ) async throws(JobStoreError) -> OutputPage? {
    let start = min(max(index, 0), Int(JobLimits.maxTokens))
    let limit = min(max(maxTokens, 1), Int(JobLimits.maxTokens))
    return state.withLock { state in
      guard let entry = state.jobs[id] else { return nil }
      let chunks = entry.chunks.filter { chunk in
        chunk.endIndex > start && (chunk.firstIndex <= start || chunk.endIndex - start <= limit)
      }
      return OutputPage(job: entry.job, chunks: chunks.map { $0.dropping(before: start) })
    }
  }
}

extension InMemoryJobStore.State {
  func job(_ id: JobID, tenant: String?) -> Job? {
    guard let job = jobs[id]?.job, tenant == nil || job.tenant == tenant else { return nil }
    return job
  }

  mutating func store(
    _ submission: Submission, at now: Timestamp
  ) throws(JobStoreError) -> SubmitResult {
    let key = submission.requestID.map {
      InMemoryJobStore.RequestKey(tenant: submission.tenant, requestID: $0)
    }
    if let key, let id = requests[key], let entry = jobs[id] {
      return SubmitResult(job: entry.job, isNew: false)
    }
    guard jobs[submission.id] == nil else {
      throw JobStoreError(
        code: .invalid, message: "job \(submission.id) exists already; every job needs a new id")
    }
    let job = Job(
      id: submission.id, tenant: submission.tenant, requestID: submission.requestID,
      spec: submission.spec, state: .queued, createTime: now)
    jobs[job.id] = InMemoryJobStore.Entry(job: job)
    if let key { requests[key] = job.id }
    return SubmitResult(job: job, isNew: true)
  }
}

extension InMemoryJobStore.State {
  /// Takes back a job that was stored by a submission that failed as a whole.
  fileprivate mutating func remove(_ job: Job) {
    jobs[job.id] = nil
    guard let requestID = job.requestID else { return }
    requests[InMemoryJobStore.RequestKey(tenant: job.tenant, requestID: requestID)] = nil
  }
}

extension JobFilter {
  fileprivate func matches(_ job: Job) -> Bool {
    (tenant == nil || job.tenant == tenant)
      && (states.isEmpty || states.contains(job.state))
      && (model == nil || job.spec.model == model)
      && labels.allSatisfy { job.spec.labels[$0.key] == $0.value }
      && (createdAfter.map { job.createTime > $0 } ?? true)
      && (createdBefore.map { job.createTime < $0 } ?? true)
  }
}
