public import JobQueue
import Postgres

extension PostgresJobStore {
  public func submit(
    _ submissions: [Submission]
  ) async throws(JobStoreError) -> [SubmitResult] {
    guard !submissions.isEmpty else { return [] }
    guard submissions.count <= JobLimits.jobsPerSubmission else {
      throw .tooMany("jobs", limit: JobLimits.jobsPerSubmission)
    }
    for submission in submissions { try submission.checkStorable() }
    let now = now
    let results = try await perform { connection in
      let rows = try await connection.transaction([
        Statement.submit(submissions, now: now), Statement.submitted(submissions),
      ])
      var inserted = Set(try rows[0].map { JobID(try $0.decode("id")) })
      let jobs = try rows[1].map { try Job(row: $0) }
      let byRequest = Dictionary(
        jobs.filter { $0.requestID != nil }.map { (Request($0.tenant, $0.requestID), $0) },
        uniquingKeysWith: { first, _ in first })
      let byID = Dictionary(jobs.map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
      return try submissions.map { submission in
        let job =
          submission.requestID == nil
          ? byID[submission.id] : byRequest[Request(submission.tenant, submission.requestID)]
        guard let job else {
          throw JobStoreError(code: .internal, message: "a submitted job was not found again")
        }
        return SubmitResult(
          job: job, isNew: job.id == submission.id && inserted.remove(job.id) != nil)
      }
    }
    if results.contains(where: \.isNew) { announce([.ready]) }
    return results
  }

  private struct Request: Hashable {
    var tenant: String
    var requestID: String?

    init(_ tenant: String, _ requestID: String?) {
      self.tenant = tenant
      self.requestID = requestID
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
    return try await perform { connection in
      let jobs = try await connection.query(.list(filter, page: request)).map { try Job(row: $0) }
      let shown = Array(jobs.prefix(request.size))
      guard jobs.count > request.size, let last = shown.last else {
        return JobPage(jobs: shown, next: nil)
      }
      return JobPage(jobs: shown, next: JobCursor(createTime: last.createTime, id: last.id))
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
    let start = min(max(index, 0), Int(JobLimits.maxTokens))
    let limit = min(max(maxTokens, 1), Int(JobLimits.maxTokens))
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
