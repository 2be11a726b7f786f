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
        if results.contains(where: \.isNew), state.exceeds(queuedJobs: maxQueuedJobs) {
          throw .queueFull(limit: maxQueuedJobs)
        }
      } catch {
        for result in results where result.isNew { state.remove(result.job) }
        throw error
      }
      if results.contains(where: \.isNew) { signals.append(.ready) }
      return results
    }
  }

  public func submitted(
    tenant: String, requestIDs: [String]
  ) async throws(JobStoreError) -> [Job] {
    guard requestIDs.count <= JobLimits.jobsPerSubmission else {
      throw .tooMany("request ids", limit: JobLimits.jobsPerSubmission)
    }
    return state.withLock { state in
      Set(requestIDs.map { RequestKey(tenant: tenant, requestID: $0) }).compactMap { key in
        state.requests[key].flatMap { state.jobs[$0]?.job.withoutPrompt }
      }
    }
  }

  public func job(_ id: JobID, tenant: String?) async throws(JobStoreError) -> Job? {
    state.withLock { $0.job(id, tenant: tenant) }
  }

  public func jobs(_ ids: [JobID], tenant: String?) async throws(JobStoreError) -> [Job] {
    guard ids.count <= JobLimits.jobsPerGet else {
      throw .tooMany("ids", limit: JobLimits.jobsPerGet)
    }
    return state.withLock { state in
      Set(ids).compactMap { state.job($0, tenant: tenant)?.withoutPrompt }
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
    let shown = matches.prefix(size).map(\.withoutPrompt)
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
      guard job.revoke(as: .cancelled, at: now) else { return job.withoutPrompt }
      state.jobs[id]?.job = job
      if wasRunning { signals.append(.revoked(id)) }
      signals.append(.progressed(id, nil))
      return job.withoutPrompt
    }
  }

  public func output(
    of id: JobID, from index: Int, maxTokens: Int
  ) async throws(JobStoreError) -> OutputPage? {
    let start = min(max(index, 0), JobLimits.outputTokens)
    let limit = min(max(maxTokens, 1), JobLimits.outputTokens)
    return state.withLock { state in
      guard let entry = state.jobs[id] else { return nil }
      let chunks = entry.chunks.filter { chunk in
        chunk.endIndex > start && (chunk.firstIndex <= start || chunk.endIndex - start <= limit)
      }
      return OutputPage(
        job: entry.job.withoutPrompt, chunks: chunks.map { $0.dropping(before: start) })
    }
  }

  public func progress(of ids: [JobID]) async throws(JobStoreError) -> [JobID: JobProgress] {
    guard ids.count <= JobLimits.jobsPerGet else {
      throw .tooMany("ids", limit: JobLimits.jobsPerGet)
    }
    return state.withLock { state in
      ids.reduce(into: [:]) { $0[$1] = state.jobs[$1]?.job.progress }
    }
  }
}

extension InMemoryJobStore.State {
  func job(_ id: JobID, tenant: String?) -> Job? {
    guard let job = jobs[id]?.job, tenant?.isExactly(job.tenant) ?? true else {
      return nil
    }
    return job
  }

  mutating func store(
    _ submission: Submission, at now: Timestamp
  ) throws(JobStoreError) -> SubmitResult {
    let key = submission.requestID.map {
      InMemoryJobStore.RequestKey(tenant: submission.tenant, requestID: $0)
    }
    if let key, let id = requests[key], let entry = jobs[id] {
      return SubmitResult(job: entry.job.withoutPrompt, isNew: false)
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
    return SubmitResult(job: job.withoutPrompt, isNew: true)
  }
}

extension InMemoryJobStore.State {
  fileprivate func exceeds(queuedJobs limit: Int) -> Bool {
    jobs.count > limit && jobs.values.count { $0.job.state == .queued } > limit
  }

  /// Forgets a job and its request id.
  mutating func remove(_ job: Job) {
    jobs[job.id] = nil
    guard let requestID = job.requestID else { return }
    requests[InMemoryJobStore.RequestKey(tenant: job.tenant, requestID: requestID)] = nil
  }
}

extension JobFilter {
  fileprivate func matches(_ job: Job) -> Bool {
    (tenant?.isExactly(job.tenant) ?? true)
      && (states.isEmpty || states.contains(job.state))
      && (model?.isExactly(job.spec.model) ?? true)
      && labels.allSatisfy { wanted in
        job.spec.labels.contains {
          $0.key.isExactly(wanted.key) && $0.value.isExactly(wanted.value)
        }
      }
      && (createdAfter.map { job.createTime > $0 } ?? true)
      && (createdBefore.map { job.createTime < $0 } ?? true)
  }
}
