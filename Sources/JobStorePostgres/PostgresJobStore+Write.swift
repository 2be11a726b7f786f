import Foundation
public import JobQueue
import Postgres

extension PostgresJobStore {
  public func write(_ writes: [LeaseWrite]) async throws(JobStoreError) -> [WriteResult] {
    guard !writes.isEmpty else { return [] }
    var storable: [LeaseWrite] = []
    for write in writes { storable.append(try write.storable()) }
    let all = storable
    let rounds = Self.rounds(all)
    let now = now
    do {
      let results = try await executorPool.withConnection { connection in
        let answers = try await connection.transaction(
          [.planWrite] + rounds.map { round in Statement.write(round.map { all[$0] }, now: now) })
        var results = [WriteResult](repeating: .leaseLost, count: all.count)
        for (round, rows) in zip(rounds, answers.dropFirst()) {
          let written = Set(try rows.map { JobID(try $0.decode("id")) })
          for index in round where written.contains(all[index].lease.job) {
            results[index] = .written
          }
        }
        let refused = results.indices.filter { results[$0] == .leaseLost }
        if !refused.isEmpty {
          let states = try await Self.leaseStates(refused.map { all[$0].lease.job }, on: connection)
          for index in refused where states[all[index].lease.job]?.holds(all[index]) ?? false {
            results[index] = .written
          }
        }
        return results
      }
      announce(
        zip(all, results).flatMap { write, result in
          result == .written ? write.signals : []
        })
      return results
    } catch {
      // Whoever writes repeats the whole transaction: nothing of it is known to be stored.
      throw JobStoreError(mapping: error)
    }
  }

  /// The writes' indices in groups in which each job is at most once, a job's writes in their order;
  /// by job, so that two group commits lock their jobs in the same order.
  private static func rounds(_ writes: [LeaseWrite]) -> [[Int]] {
    var rounds: [[Int]] = []
    var seen: [JobID: Int] = [:]
    for index in writes.indices.sorted(by: { writes[$0].lease.job < writes[$1].lease.job }) {
      let round = seen[writes[index].lease.job, default: 0]
      seen[writes[index].lease.job] = round + 1
      if round == rounds.count { rounds.append([]) }
      rounds[round].append(index)
    }
    return rounds
  }

  private static func leaseStates(
    _ jobs: [JobID], on connection: Connection
  ) async throws -> [JobID: CommittedState] {
    let rows = try await connection.query(.leaseStates(jobs))
    return Dictionary(
      try rows.map { (JobID(try $0.decode("id")), try CommittedState(row: $0)) },
      uniquingKeysWith: { first, _ in first })
  }
}

/// What is committed of a job, to be compared with a write that was refused.
private struct CommittedState {
  var epoch: Int64
  var state: JobState
  var outputTokens: Int64
  var finishReason: FinishReason?
  var alternativeFinishReasons: [FinishReason]
  var failureCode: JobFailure.Code?

  init(row: Row) throws {
    epoch = try row.decode("epoch")
    state = try row.decodeCase("state")
    outputTokens = try row.decode("output_tokens")
    finishReason = try row.decodeCaseIfPresent("finish_reason")
    alternativeFinishReasons = try row.decodeCases("alternative_finish_reasons")
    failureCode = try row.decodeCaseIfPresent("failure_code")
  }

  /// Whether the write is a repetition of one that was committed under the same lease.
  ///
  /// Ends leave the epoch as it is, and nobody else writes under it, so what is there was written
  /// by the same executor.
  func holds(_ write: LeaseWrite) -> Bool {
    guard epoch == write.lease.epoch else { return false }
    let chunkEnd = write.chunk.map { Int64($0.endIndex) }
    switch write.end {
    case nil:
      guard state == .running || state == .succeeded || state == .failed else { return false }
      // With neither chunk nor end there was nothing to commit but usage.
      return chunkEnd.map { $0 <= outputTokens } ?? false
    case .succeeded(let reason, let alternatives):
      return state == .succeeded && finishReason == reason
        && alternativeFinishReasons == alternatives
        && (chunkEnd.map { $0 == outputTokens } ?? true)
    case .failed(let failure):
      return state == .failed && failureCode == failure.code
        && (chunkEnd.map { $0 == outputTokens } ?? true)
    }
  }
}
