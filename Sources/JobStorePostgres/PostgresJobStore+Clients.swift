public import JobQueue
import Logging
import Postgres
import Synchronization

extension PostgresJobStore {
  public func submit(
    _ submissions: [Submission]
  ) async throws(JobStoreError) -> [SubmitResult] {
    guard !submissions.isEmpty else { return [] }
    guard submissions.count <= JobLimits.jobsPerSubmission else {
      throw .tooMany("jobs", limit: JobLimits.jobsPerSubmission)
    }
    for submission in submissions { try submission.checkStorable() }
    guard try await takeRoom(for: submissions.count) else {
      return try await submitToFullQueue(submissions)
    }
    return try await store(submissions, reserved: submissions.count)
  }

  /// Answers what is known; takes the rest only if it fits all the same.
  private func submitToFullQueue(
    _ submissions: [Submission]
  ) async throws(JobStoreError) -> [SubmitResult] {
    let jobs = try await perform { connection in
      try await connection.query(.submitted(submissions)).map { try Job(row: $0) }
    }
    let known = Dictionary(
      jobs.map { (Request($0.tenant, $0.requestID), $0) }, uniquingKeysWith: { first, _ in first })
    let named = Set(submissions.filter { $0.requestID != nil }.map { Request($0) })
    let nameless = submissions.count { $0.requestID == nil }
    let new = named.subtracting(known.keys).count + nameless
    if new == 0 {
      return submissions.compactMap { submission in
        known[Request(submission)].map { SubmitResult(job: $0, isNew: false) }
      }
    }
    guard gauge.withLock({ $0.reserve(new) }) else {
      throw .queueFull(limit: configuration.maxQueuedJobs)
    }
    return try await store(submissions, reserved: new)
  }

  /// Stores submissions for which room was taken.
  private func store(
    _ submissions: [Submission], reserved: Int
  ) async throws(JobStoreError) -> [SubmitResult] {
    var results: [SubmitResult] = []
    do throws(JobStoreError) {
      var stored = try await insert(submissions)
      // A known job may be deleted, as one that is old enough, before it is read. The second time
      // it is not known any more.
      let missing = submissions.filter { stored.job(of: $0) == nil }
      if !missing.isEmpty { stored.add(try await insert(missing)) }
      for submission in submissions {
        guard let result = stored.take(submission) else {
          throw JobStoreError(
            code: .unavailable,
            message: "jobs with the same request ids are being deleted; try again")
        }
        results.append(result)
      }
    } catch {
      // Whether it was stored may not be known; the next count will tell.
      gauge.withLock { $0.settle(reserved: reserved, stored: 0) }
      throw error
    }
    let stored = results.count { $0.isNew }
    gauge.withLock { $0.settle(reserved: reserved, stored: stored) }
    if stored > 0 { announce([.ready]) }
    return results
  }

  private func insert(_ submissions: [Submission]) async throws(JobStoreError) -> StoredJobs {
    let now = now
    return try await perform { connection in
      let rows = try await connection.transaction([
        Statement.submit(submissions, now: now), Statement.submitted(submissions),
      ])
      return StoredJobs(
        inserted: Set(try rows[0].map { JobID(try $0.decode("id")) }),
        jobs: try rows[1].map { try Job(row: $0) })
    }
  }

  /// The jobs of submissions, those that were there and those that were made.
  private struct StoredJobs: Sendable {
    private var inserted: Set<JobID>
    private var byID: [JobID: Job] = [:]
    private var byRequest: [Request: Job] = [:]

    init(inserted: Set<JobID>, jobs: [Job]) {
      self.inserted = inserted
      for job in jobs {
        byID[job.id] = job
        if job.requestID != nil { byRequest[Request(job.tenant, job.requestID)] = job }
      }
    }

    mutating func add(_ other: StoredJobs) {
      inserted.formUnion(other.inserted)
      byID.merge(other.byID) { _, new in new }
      byRequest.merge(other.byRequest) { _, new in new }
    }

    func job(of submission: Submission) -> Job? {
      submission.requestID == nil ? byID[submission.id] : byRequest[Request(submission)]
    }

    /// The result of a submission. A job is new once.
    mutating func take(_ submission: Submission) -> SubmitResult? {
      guard let job = job(of: submission) else { return nil }
      let isNew = job.id == submission.id && inserted.remove(job.id) != nil
      return SubmitResult(job: job, isNew: isNew)
    }
  }

  private struct Request: Hashable {
    var tenant: ExactText
    var requestID: ExactText?

    init(_ tenant: String, _ requestID: String?) {
      self.tenant = ExactText(tenant)
      self.requestID = requestID.map { ExactText($0) }
    }

    init(_ submission: Submission) {
      self.init(submission.tenant, submission.requestID)
    }
  }

  // MARK: Room in the queue

  private func takeRoom(for jobs: Int) async throws(JobStoreError) -> Bool {
    await countQueue(isUrgent: false)
    if gauge.withLock({ $0.reserve(jobs) }) { return true }
    await countQueue(isUrgent: true)
    return gauge.withLock { $0.reserve(jobs) }
  }

  /// Counts the waiting jobs, if it is time to. A count that fails leaves the last one in force.
  func countQueue(isUrgent: Bool) async {
    let start = ContinuousClock.now
    guard gauge.withLock({ $0.beginCount(isUrgent: isUrgent, now: start) }) else { return }
    var counted: Int64?
    do throws(JobStoreError) {
      counted = try await perform {
        try await $0.query(.queuedJobs).first?.decode("jobs", as: Int64.self)
      }
    } catch {
      logger.debug("the queue could not be counted", metadata: ["error": "\(error)"])
    }
    let now = ContinuousClock.now
    let result = counted.map { Int(clamping: $0) }
    gauge.withLock { $0.endCount(result, took: now - start, now: now) }
  }

  // MARK: Reading

  public func submitted(
    tenant: String, requestIDs: [String]
  ) async throws(JobStoreError) -> [Job] {
    guard !requestIDs.isEmpty else { return [] }
    guard requestIDs.count <= JobLimits.jobsPerSubmission else {
      throw .tooMany("request ids", limit: JobLimits.jobsPerSubmission)
    }
    let tenants = requestIDs.map { _ in tenant }
    return try await perform { connection in
      try await connection.query(.submitted(tenants: tenants, requestIDs: requestIDs))
        .map { try Job(row: $0) }
    }
  }

  public func job(_ id: JobID, tenant: String?) async throws(JobStoreError) -> Job? {
    try await perform {
      try await $0.query(.job(id, tenant: tenant)).first.map { try Job(row: $0) }
    }
  }

  public func jobs(_ ids: [JobID], tenant: String?) async throws(JobStoreError) -> [Job] {
    guard ids.count <= JobLimits.jobsPerGet else {
      throw .tooMany("ids", limit: JobLimits.jobsPerGet)
    }
    return try await perform { connection in
      try await connection.query(.jobs(ids, tenant: tenant)).map { try Job(row: $0) }
    }
  }

  public func list(
    _ filter: JobFilter, page: PageRequest
  ) async throws(JobStoreError) -> JobPage {
    var page = page
    page.size = min(max(page.size, 1), JobLimits.pageSize)
    let request = page
    return try await report("the listing") { connection in
      let rows = try await connection.query(.list(filter, page: request))
      let jobs = self.readable(rows.prefix(request.size))
      guard rows.count > request.size, let last = rows.prefix(request.size).last else {
        return JobPage(jobs: jobs, next: nil)
      }
      return JobPage(
        jobs: jobs,
        next: JobCursor(
          createTime: try last.decode("create_time"), id: JobID(try last.decode("id"))))
    }
  }

  public func cancel(_ id: JobID, tenant: String?) async throws(JobStoreError) -> Job? {
    let now = now
    let (job, wasRunning) = try await perform { connection in
      let rows = try await connection.transaction([
        Statement.cancel(id, tenant: tenant, now: now), Statement.jobs([id], tenant: tenant),
      ])
      return (
        try rows[1].first.map { try Job(row: $0) },
        try rows[0].first.map { try $0.decode("was_running", as: Bool.self) }
      )
    }
    if let wasRunning {
      announce(wasRunning ? [.revoked(id), .progressed(id, nil)] : [.progressed(id, nil)])
    }
    return job
  }

  public func output(
    of id: JobID, from index: Int, maxTokens: Int
  ) async throws(JobStoreError) -> OutputPage? {
    let start = min(max(index, 0), JobLimits.outputTokens)
    let limit = min(max(maxTokens, 1), JobLimits.outputTokens)
    return try await perform { connection in
      // One snapshot, so that job and chunks are of one moment.
      let rows = try await connection.transaction(
        [
          Statement.jobs([id], tenant: nil),
          Statement.chunks(of: id, from: start, maxTokens: limit),
        ], .snapshot)
      guard let job = try rows[0].first.map({ try Job(row: $0) }) else { return nil }
      return OutputPage(
        job: job, chunks: try rows[1].map { try OutputChunk(row: $0).dropping(before: start) })
    }
  }
}
