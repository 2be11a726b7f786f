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
    var violations: [FieldViolation] = []
    var submissions: [Submission] = []
    for (index, request) in requests.enumerated() where known[index] == nil {
      guard violations.count < 100 else { break }
      var found: [FieldViolation] = []
      submissions.append(makeSubmission(of: request, tenant: tenant, &found))
      violations += found.map {
        FieldViolation(field: name(index, $0.field), description: $0.description)
      }
    }
    guard violations.isEmpty else { throw ServiceError.invalid(violations) }
    // Ids made in the same millisecond come in any order; the jobs' order is that of their ids.
    for (index, id) in submissions.map(\.id).sorted().enumerated() { submissions[index].id = id }
    var new = try await store.submit(submissions).map(\.job)[...]
    return known.map { $0 ?? new.removeFirst() }
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
    if !Self.isStorable(requestID: id) {
      violations.append(
        FieldViolation(
          field: "request_id",
          description: "must be at most \(JobLimits.requestIDBytes) bytes, without U+0000"))
    }
    return Submission(
      id: JobID.make(at: now, using: &generator), tenant: tenant, requestID: id.isEmpty ? nil : id,
      spec: spec)
  }
}
