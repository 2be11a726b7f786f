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
  let checking: CheckingQueue

  public init(
    store: any JobStore, catalog: any ModelCatalog, hub: WatchHub, logger: Logger
  ) {
    self.store = store
    self.catalog = catalog
    self.hub = hub
    self.logger = logger
    checking = CheckingQueue()
  }

  public var methods: [MethodHandler] {
    let methods = TypedMethods(service: "millrace.v1.JobService", logger: logger)
    // What may be large is read, checked and written on Swift's threads, not on the queues'.
    return [
      methods.unary("SubmitJob", on: .globalExecutor, maxRequestBytes: .max, submit),
      methods.unary("BatchSubmitJobs", on: .globalExecutor, maxRequestBytes: .max, batchSubmit),
      methods.unary("GetJob", on: .globalExecutor, get),
      methods.unary("BatchGetJobs", on: .globalExecutor, batchGet),
      methods.unary("ListJobs", on: .globalExecutor, list),
      methods.unary("CancelJob", cancel).urgent(),
      methods.serverStreaming("WatchJob", watch),
      methods.serverStreaming("Generate", on: .globalExecutor, maxRequestBytes: .max, generate),
    ]
  }

  // MARK: Looking

  private func get(
    _ request: Millrace_V1_GetJobRequest, _ context: ServerContext
  ) async throws -> Millrace_V1_Job {
    let tenant = try context.tenant()
    guard let id = try parse(request.id), let job = try await store.job(id, tenant: tenant),
      let page = try await store.output(of: id, from: 0, maxTokens: .max)
    else { throw ServiceError.jobNotFound(request.id) }
    var now = page.job
    now.spec = job.spec  // which never changes
    return now.message(output: page.chunks)
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
    let job = try await stored(request, tenant: context.tenant())
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
    } catch WatchError.corrupt {
      throw ServiceError.outputLost(id.description)
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
