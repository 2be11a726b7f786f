import Foundation
import JobQueue

/// A store, its clock, and short words for what the tests do with it.
struct StoreUnderTest: Sendable {
  var store: any JobStore
  var clock: TestClock

  static let leaseDuration = Duration.seconds(30)

  func submission(
    _ name: String? = nil, tenant: String = "tenant", model: String = "model",
    priority: Int32 = 0, runAfter: Timestamp? = nil, deadline: Timestamp? = nil,
    maxAttempts: Int32 = 3, labels: [String: String] = [:], id: JobID? = nil
  ) -> Submission {
    var generator = SystemRandomNumberGenerator()
    return Submission(
      id: id ?? JobID.make(at: clock.now, using: &generator), tenant: tenant, requestID: name,
      spec: GenerationSpec(
        model: model, prompt: .text("Once upon a time"), sampling: SamplingParameters(seed: 7),
        priority: priority, runAfter: runAfter, deadline: deadline, maxAttempts: maxAttempts,
        labels: labels))
  }

  /// Submits one job, a millisecond after the one before.
  @discardableResult
  func submit(
    tenant: String = "tenant", model: String = "model", priority: Int32 = 0,
    runAfter: Timestamp? = nil, deadline: Timestamp? = nil, maxAttempts: Int32 = 3,
    labels: [String: String] = [:]
  ) async throws -> JobID {
    clock.advance(by: .milliseconds(1))
    let submission = submission(
      tenant: tenant, model: model, priority: priority, runAfter: runAfter, deadline: deadline,
      maxAttempts: maxAttempts, labels: labels)
    _ = try await store.submit([submission])
    return submission.id
  }

  func executor(models: [String] = ["model"]) async throws -> ExecutorID {
    let description = ExecutorDescription(
      id: ExecutorID(), host: "test", processID: 1, models: models, slots: 8)
    try await store.register(description, leaseDuration: Self.leaseDuration)
    return description.id
  }

  func claim(
    _ executor: ExecutorID, _ room: [String: Int] = ["model": 1]
  ) async throws -> [ClaimedJob] {
    try await store.claim(ClaimRequest(executor: executor, room: room)).jobs
  }

  /// Submits a job and claims it.
  func running(
    maxAttempts: Int32 = 3, deadline: Timestamp? = nil
  ) async throws -> (executor: ExecutorID, lease: Lease) {
    let executor = try await executor()
    try await submit(deadline: deadline, maxAttempts: maxAttempts)
    let claimed = try await claim(executor)
    guard let lease = claimed.first?.lease, claimed.count == 1 else { throw Unexpected() }
    return (executor, lease)
  }

  func write(
    _ lease: Lease, from index: Int? = nil, _ tokens: [Int32] = [], outputs: [Int32]? = nil,
    end: JobEnd? = nil
  ) async throws -> WriteResult {
    let write = Self.write(lease, from: index, tokens, outputs: outputs, end: end)
    let result = try await store.write([write])
    guard let first = result.first, result.count == 1 else { throw Unexpected() }
    return first
  }

  static func write(
    _ lease: Lease, from index: Int? = nil, _ tokens: [Int32] = [], outputs: [Int32]? = nil,
    end: JobEnd? = nil
  ) -> LeaseWrite {
    LeaseWrite(
      lease: lease, chunk: index.map { chunk(from: $0, tokens, outputs: outputs) },
      modelFingerprint: "fingerprint",
      usage: Usage(
        promptTokens: 4, draftedTokens: 2, acceptedTokens: 1, draftRounds: 1,
        acceptedByPosition: [1]), end: end)
  }

  static func chunk(
    from index: Int, _ tokens: [Int32], outputs: [Int32]? = nil
  ) -> OutputChunk {
    OutputChunk(
      firstIndex: index, tokens: tokens, pieces: tokens.map { " t\($0)" },
      offsetsMicroseconds: tokens.indices.map { Int64(index + $0) * 1_000 }, outputs: outputs)
  }

  func job(_ id: JobID) async throws -> Job {
    guard let job = try await store.jobs([id], tenant: nil).first else { throw Unexpected() }
    return job
  }

  /// All committed output.
  func output(_ id: JobID, from index: Int = 0) async throws -> OutputPage {
    guard let page = try await store.output(of: id, from: index, maxTokens: 1_000) else {
      throw Unexpected()
    }
    return page
  }

  func tokens(_ id: JobID, from index: Int = 0) async throws -> [Int32] {
    try await output(id, from: index).chunks.flatMap(\.tokens)
  }

  struct Unexpected: Error {}
}
