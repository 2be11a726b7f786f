import Foundation
package import JobQueue
import Logging
import Postgres

extension PostgresJobStore {
  /// The most tokens that are read at once, or those of one job, if it alone has more.
  private static let tokensPerRead: Int64 = 500_000
  /// How long a claim may go on beginning to read, and how long each reading may take: together, and
  /// with what came before them, far less than a lease.
  private static let readBudget = Duration.seconds(3)
  private static let readTimeout = Duration.seconds(3)

  /// The committed output of a job: its tokens, and which output each belongs to; `nil` where all are
  /// of output 0.
  struct CommittedTokens: Sendable {
    var tokens: [Int32] = []
    private(set) var outputs: [Int32]?

    fileprivate mutating func append(_ row: Row) throws {
      let more = try row.decode("token_ids", as: [Int32].self)
      let moreOutputs = try row.decodeOutputs()
      guard moreOutputs.map({ $0.count == more.count }) ?? true else {
        throw PostgresError(code: .decoding, message: "a chunk has not one output per token")
      }
      if outputs == nil, moreOutputs != nil { outputs = Array(repeating: 0, count: tokens.count) }
      outputs? += moreOutputs ?? Array(repeating: 0, count: more.count)
      tokens += more
    }
  }

  /// The committed tokens of jobs that were just claimed, in their order.
  ///
  /// Read after the claim is committed: nobody else may write to them any more, and what was read
  /// counts however long the rest takes.
  /// - Returns: per job its tokens, or why they cannot be read; nothing for those that time did not
  ///   suffice for, or that the database was away for.
  func committedTokens(of jobs: [Job]) async -> [JobID: Result<CommittedTokens, any Error>] {
    var found: [JobID: Result<CommittedTokens, any Error>] = [:]
    for job in jobs where job.usage.outputTokens == 0 {
      found[job.id] = .success(CommittedTokens())
    }
    let end = ContinuousClock.now + Self.readBudget
    for batch in Self.batches(of: jobs.filter { $0.usage.outputTokens != 0 }) {
      do throws(JobStoreError) {
        let tokens = try await perform(on: executorPool) { connection in
          let rows = try await connection.transaction([
            Statement.timeLimit(Self.readTimeout), Statement.committedTokens(of: batch),
          ])
          return Self.tokensPerJob(rows[1])
        }
        for id in batch { found[id] = tokens[id] ?? .success(CommittedTokens()) }
      } catch {
        logger.warning(
          "The output of claimed jobs cannot be read; they go back to the queue",
          metadata: ["error": "\(error)"])
        break
      }
      guard .now < end else { break }
    }
    return found
  }

  /// Parts of the jobs whose output can be read at once, at least one job each.
  package static func batches(of jobs: [Job]) -> [[JobID]] {
    var batches: [[JobID]] = []
    var tokens: Int64 = 0
    for job in jobs {
      let count = max(job.usage.outputTokens, 0)
      if batches.isEmpty || tokens + count > tokensPerRead {
        batches.append([])
        tokens = 0
      }
      batches[batches.count - 1].append(job.id)
      tokens += count
    }
    return batches
  }

  private static func tokensPerJob(_ rows: Rows) -> [JobID: Result<CommittedTokens, any Error>] {
    var tokens: [JobID: CommittedTokens] = [:]
    var unreadable: [JobID: any Error] = [:]
    for row in rows {
      guard let uuid = try? row.decode("job_id", as: UUID.self) else { continue }
      let id = JobID(uuid)
      do {
        try tokens[id, default: CommittedTokens()].append(row)
      } catch {
        unreadable[id] = error
      }
    }
    return tokens.mapValues { .success($0) }.merging(
      unreadable.mapValues { .failure($0) }, uniquingKeysWith: { _, failure in failure })
  }
}
