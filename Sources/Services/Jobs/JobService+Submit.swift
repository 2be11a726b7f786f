import JobQueue
import Messages
import RPC

extension JobService {
  func submit(
    _ request: Millrace_V1_SubmitJobRequest, _ context: ServerContext
  ) async throws -> Millrace_V1_Job {
    try await stored(request, tenant: context.tenant()).message()
  }

  func batchSubmit(
    _ request: Millrace_V1_BatchSubmitJobsRequest, _ context: ServerContext
  ) async throws -> Millrace_V1_BatchSubmitJobsResponse {
    let tenant = try context.tenant()
    guard 1...JobLimits.jobsPerSubmission ~= request.requests.count else {
      throw ServiceError.invalid(
        "requests", "must hold 1 to \(JobLimits.jobsPerSubmission) requests")
    }
    var response = Millrace_V1_BatchSubmitJobsResponse()
    response.jobs = try await stored(request.requests, tenant: tenant) { index, field in
      "requests[\(index)].\(field)"
    }.map { $0.message() }
    return response
  }

  /// The job of one request.
  func stored(_ request: Millrace_V1_SubmitJobRequest, tenant: String) async throws -> Job {
    try await stored([request], tenant: tenant) { _, field in field }[0]
  }

  /// The jobs of requests, in their order.
  ///
  /// A request id that is known is answered with its job, whatever the request says: a retry must
  /// not fail because its deadline has passed since, or its model has gone. Only the others are
  /// checked.
  private func stored(
    _ requests: [Millrace_V1_SubmitJobRequest], tenant: String,
    naming name: (Int, String) -> String
  ) async throws -> [Job] {
    let known = try await knownJobs(of: requests, tenant: tenant)
    let new = requests.indices.filter { known[$0] == nil }
    let checked = try await checking.run(over: new.map { requests[$0].promptBytes }) { item in
      makeSubmission(of: requests[new[item]], tenant: tenant)
    }
    let violations = zip(new, checked).flatMap { index, result in
      result.violations.map {
        FieldViolation(field: name(index, $0.field), description: $0.description)
      }
    }
    guard violations.isEmpty else { throw ServiceError.invalid(violations) }
    var submissions = checked.map(\.submission)
    // Ids made in the same millisecond come in any order; the jobs' order is that of their ids.
    for (index, id) in submissions.map(\.id).sorted().enumerated() { submissions[index].id = id }
    var made = try await store.submit(submissions).map(\.job)[...]
    return known.map { $0 ?? made.removeFirst() }
  }

  /// For each request the job that its request id has made before.
  private func knownJobs(
    of requests: [Millrace_V1_SubmitJobRequest], tenant: String
  ) async throws -> [Job?] {
    let ids = requests.map(\.requestID).filter { !$0.isEmpty && Self.isStorable(requestID: $0) }
    guard !ids.isEmpty else { return requests.map { _ in nil } }
    let jobs = try await store.submitted(tenant: tenant, requestIDs: ids)
    let byID = Dictionary(
      jobs.map { (ExactText($0.requestID ?? ""), $0) }, uniquingKeysWith: { first, _ in first })
    return requests.map { $0.requestID.isEmpty ? nil : byID[ExactText($0.requestID)] }
  }

  private static func isStorable(requestID id: String) -> Bool {
    id.utf8.count <= JobLimits.requestIDBytes && !id.utf8.contains(0)
  }

  private func makeSubmission(
    of request: Millrace_V1_SubmitJobRequest, tenant: String
  ) -> (submission: Submission, violations: [FieldViolation]) {
    var violations: [FieldViolation] = []
    var generator = SystemRandomNumberGenerator()
    let now = Timestamp.now
    let spec = GenerationSpec(request.spec, seed: generator.next(), violations: &violations)
    if !request.hasSpec {
      violations = [FieldViolation(field: "spec", description: "is required")]
    } else if violations.isEmpty {
      violations += spec.violations(catalog: catalog, now: now)
    }
    let id = request.requestID
    if !Self.isStorable(requestID: id) {
      violations.append(
        FieldViolation(
          field: "request_id",
          description: "must be at most \(JobLimits.requestIDBytes) bytes, without U+0000"))
    }
    let submission = Submission(
      id: JobID.make(at: now, using: &generator), tenant: tenant, requestID: id.isEmpty ? nil : id,
      spec: spec)
    return (submission, violations)
  }
}

extension Millrace_V1_SubmitJobRequest {
  /// The size of what has to be tokenized or looked through.
  fileprivate var promptBytes: Int {
    switch spec.input {
    case .prompt(let text): text.utf8.count
    case .tokenIds(let tokens): tokens.ids.count * MemoryLayout<Int32>.size
    case .messages(let turns): turns.messages.reduce(0) { $0 + $1.content.utf8.count }
    case nil: 0
    }
  }
}
