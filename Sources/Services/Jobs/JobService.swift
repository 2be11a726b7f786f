public import JobQueue
public import Logging
import Messages
public import RPC
import Synchronization

/// `millrace.v1.JobService`: submits, follows and ends jobs.
public struct JobService: Sendable {
  let store: any JobStore
  let catalog: any ModelCatalog
  let hub: WatchHub
  let logger: Logger

  public init(
    store: any JobStore, catalog: any ModelCatalog, hub: WatchHub, logger: Logger
  ) {
    self.store = store
    self.catalog = catalog
    self.hub = hub
    self.logger = logger
  }

  public var methods: [MethodHandler] {
    let methods = TypedMethods(service: "millrace.v1.JobService", logger: logger)
    return [
      methods.unary("SubmitJob", on: .globalExecutor, submit),
      methods.unary("BatchSubmitJobs", on: .globalExecutor, batchSubmit),
      methods.unary("GetJob", get),
      methods.unary("BatchGetJobs", batchGet),
      methods.unary("ListJobs", list),
      methods.unary("CancelJob", cancel),
      methods.serverStreaming("WatchJob", watch),
      methods.serverStreaming("Generate", on: .globalExecutor, generate),
    ]
  }

  // MARK: Submitting

  private func submit(
    _ request: Millrace_V1_SubmitJobRequest, _ context: ServerContext
  ) async throws -> Millrace_V1_Job {
    let submission = try submission(of: request, tenant: context.tenant())
    return try await store.submit([submission])[0].job.message()
  }

  private func batchSubmit(
    _ request: Millrace_V1_BatchSubmitJobsRequest, _ context: ServerContext
  ) async throws -> Millrace_V1_BatchSubmitJobsResponse {
    let tenant = try context.tenant()
    guard 1...JobLimits.jobsPerSubmission ~= request.requests.count else {
      throw ServiceError.invalid(
        "requests", "must hold 1 to \(JobLimits.jobsPerSubmission) requests")
    }
    var violations: [FieldViolation] = []
    var submissions: [Submission] = []
    for (index, request) in request.requests.enumerated() {
      guard violations.count < 100 else { break }
      var found: [FieldViolation] = []
      submissions.append(makeSubmission(of: request, tenant: tenant, &found))
      violations += found.map {
        FieldViolation(field: "requests[\(index)].\($0.field)", description: $0.description)
      }
    }
    guard violations.isEmpty else { throw ServiceError.invalid(violations) }
    let results = try await store.submit(submissions)
    var response = Millrace_V1_BatchSubmitJobsResponse()
    response.jobs = results.map { $0.job.message() }
    return response
  }

  private func submission(
    of request: Millrace_V1_SubmitJobRequest, tenant: String
  ) throws -> Submission {
    var violations: [FieldViolation] = []
    let submission = makeSubmission(of: request, tenant: tenant, &violations)
    guard violations.isEmpty else { throw ServiceError.invalid(violations) }
    return submission
  }

  private func makeSubmission(
    of request: Millrace_V1_SubmitJobRequest, tenant: String, _ violations: inout [FieldViolation]
  ) -> Submission {
    var generator = SystemRandomNumberGenerator()
    let now = Timestamp.now
    let spec = GenerationSpec(request.spec, seed: generator.next(), violations: &violations)
    if !request.hasSpec {
      violations = [FieldViolation(field: "spec", description: "is required")]
    } else if violations.isEmpty {
      violations += spec.violations(catalog: catalog, now: now)
    }
    let id = request.requestID
    if id.utf8.count > JobLimits.requestIDBytes || id.utf8.contains(0) {
      violations.append(
        FieldViolation(
          field: "request_id",
          description: "must be at most \(JobLimits.requestIDBytes) bytes, without U+0000"))
    }
    return Submission(
      id: JobID.make(at: now, using: &generator), tenant: tenant, requestID: id.isEmpty ? nil : id,
      spec: spec)
  }

  // MARK: Looking

  private func get(
    _ request: Millrace_V1_GetJobRequest, _ context: ServerContext
  ) async throws -> Millrace_V1_Job {
    let id = try await knownJob(request.id, context).id
    guard let page = try await store.output(of: id, from: 0, maxTokens: .max) else {
      throw ServiceError.jobNotFound(request.id)
    }
    return page.job.message(output: page.chunks)
  }

  private func batchGet(
    _ request: Millrace_V1_BatchGetJobsRequest, _ context: ServerContext
  ) async throws -> Millrace_V1_BatchGetJobsResponse {
    guard 1...JobLimits.jobsPerGet ~= request.ids.count else {
      throw ServiceError.invalid("ids", "must hold 1 to \(JobLimits.jobsPerGet) ids")
    }
    let ids = try request.ids.map { text in
      guard let id = JobID(text) else { throw ServiceError.jobNotFound(text) }
      return id
    }
    let found = try await store.jobs(ids, tenant: context.tenant())
    let jobs = Dictionary(found.map { ($0.id, $0) }) { first, _ in first }
    var response = Millrace_V1_BatchGetJobsResponse()
    response.jobs = try ids.map { id in
      guard let job = jobs[id] else { throw ServiceError.jobNotFound(id.description) }
      return job.message()
    }
    return response
  }

  private func list(
    _ request: Millrace_V1_ListJobsRequest, _ context: ServerContext
  ) async throws -> Millrace_V1_ListJobsResponse {
    let listing = try JobListingRequest(request, tenant: context.tenant())
    let page = try await store.list(listing.filter, page: listing.page)
    var response = Millrace_V1_ListJobsResponse()
    response.jobs = page.jobs.map { $0.message() }
    response.nextPageToken = page.next.map(listing.token) ?? ""
    return response
  }

  // MARK: Ending

  private func cancel(
    _ request: Millrace_V1_CancelJobRequest, _ context: ServerContext
  ) async throws -> Millrace_V1_Job {
    let tenant = try context.tenant()
    guard let id = try parse(request.id), let job = try await store.cancel(id, tenant: tenant)
    else { throw ServiceError.jobNotFound(request.id) }
    return job.message()
  }

  // MARK: Following

  private func watch(
    _ request: Millrace_V1_WatchJobRequest, _ context: ServerContext,
    _ send: (Millrace_V1_JobEvent) async throws -> Void
  ) async throws {
    guard request.fromToken >= 0, let from = Int(exactly: request.fromToken) else {
      throw ServiceError.invalid("from_token", "must not be negative")
    }
    let job = try await knownJob(request.id, context)
    try await follow(job.id, from: from, send)
  }

  private func generate(
    _ request: Millrace_V1_SubmitJobRequest, _ context: ServerContext,
    _ send: (Millrace_V1_JobEvent) async throws -> Void
  ) async throws {
    let submission = try submission(of: request, tenant: context.tenant())
    let job = try await store.submit([submission])[0].job
    var first = Millrace_V1_JobEvent()
    first.state = job.message()
    try await send(first)
    try await follow(job.id, from: 0, alreadySent: job.state, send)
  }

  private func follow(
    _ id: JobID, from index: Int, alreadySent: JobState? = nil,
    _ send: (Millrace_V1_JobEvent) async throws -> Void
  ) async throws {
    do {
      try await hub.watch(id, from: index, alreadySeen: alreadySent) { event in
        for message in event.messages { try await send(message) }
      }
    } catch WatchError.notFound {
      throw ServiceError.jobNotFound(id.description)
    }
  }

  // MARK: Ids

  /// `nil` for text that no job is called.
  private func parse(_ id: String) throws -> JobID? {
    guard !id.isEmpty else { throw ServiceError.invalid("id", "is required") }
    return JobID(id)
  }

  private func knownJob(_ text: String, _ context: ServerContext) async throws -> Job {
    let tenant = try context.tenant()
    guard let id = try parse(text),
      let job = try await store.jobs([id], tenant: tenant).first
    else { throw ServiceError.jobNotFound(text) }
    return job
  }
}
