import Foundation
package import JobQueue
package import Postgres

extension Statement {
  /// Commits what an executor made of one job: output, usage and end, in one statement.
  ///
  /// Prior state: running under exactly the lease's epoch, with the committed output ending where
  /// the chunk begins. Returns a row when it was so; otherwise changes nothing and returns none.
  package static func write(_ write: LeaseWrite, now: Timestamp?) -> Statement {
    let chunk = write.chunk.flatMap { $0.tokens.isEmpty ? nil : $0 }
    let end = EndColumns(write.end)
    let logprobs = LogprobColumns(chunk?.logprobs)
    return Statement(
      """
      WITH target AS (
        UPDATE millrace.jobs AS j SET
          output_tokens = j.output_tokens + coalesce(cardinality($4), 0),
          model_fingerprint = coalesce(nullif($5, ''), j.model_fingerprint),
          prompt_tokens = $6, cached_prompt_tokens = $7, drafted_tokens = $8, accepted_tokens = $9,
          first_token_time = coalesce(
            j.first_token_time, CASE WHEN $4 IS NOT NULL THEN coalesce($20, now()) END),
          state = coalesce($10, j.state),
          finish_reason = $11, failure_code = $12, failure_message = $13,
          finish_time = CASE WHEN $10 IS NOT NULL THEN coalesce($20, now()) END
        WHERE j.id = $1 AND j.epoch = $2 AND j.state = 'running'
          AND ($3 IS NULL OR j.output_tokens = $3)
        RETURNING j.id, j.epoch, j.executor_id, j.claim_time
      ), chunk AS (
        INSERT INTO millrace.output_chunks (
          job_id, first_index, token_ids, pieces, offsets_us, logprobs, top_counts, top_token_ids,
          top_logprobs, epoch, executor_id, claim_time, write_time)
        SELECT
          t.id, $3, $4, $14, $15, $16, $17, $18, $19, t.epoch, t.executor_id, t.claim_time,
          coalesce($20, now())
        FROM target AS t WHERE $4 IS NOT NULL
      )
      SELECT id FROM target
      """,
      write.lease.job.uuid, write.lease.epoch, chunk.map { Int64($0.firstIndex) }, chunk?.tokens,
      write.modelFingerprint, write.usage.promptTokens, write.usage.cachedPromptTokens,
      write.usage.draftedTokens, write.usage.acceptedTokens, end.state, end.reason,
      end.failureCode, end.failureMessage, chunk?.pieces, chunk?.offsetsMicroseconds,
      logprobs.chosen, logprobs.counts, logprobs.topTokens, logprobs.topLogprobs, now)
  }

  /// What tells a write that was committed before from one whose lease is lost.
  static func leaseStates(_ jobs: [JobID]) -> Statement {
    Statement(
      """
      SELECT id, epoch, state, output_tokens, finish_reason, failure_code
      FROM millrace.jobs WHERE id = ANY($1)
      """, jobs.map(\.uuid))
  }
}

/// The columns that an end sets; all NULL while the job goes on.
private struct EndColumns {
  var state: String?
  var reason: String?
  var failureCode: String?
  var failureMessage: String?

  init(_ end: JobEnd?) {
    switch end {
    case nil: break
    case .succeeded(let finishReason):
      state = JobState.succeeded.rawValue
      reason = finishReason.rawValue
    case .failed(let failure):
      state = JobState.failed.rawValue
      failureCode = failure.code.rawValue
      failureMessage = failure.message
    }
  }
}

/// Log-probabilities as flat arrays; the likeliest tokens lie one token's after the other's.
struct LogprobColumns {
  var chosen: [Float]?
  var counts: [Int32]?
  var topTokens: [Int32]?
  var topLogprobs: [Float]?

  init(_ logprobs: [TokenLogprobs]?) {
    guard let logprobs else { return }
    chosen = logprobs.map(\.logprob)
    guard logprobs.contains(where: { !$0.top.isEmpty }) else { return }
    counts = logprobs.map { Int32($0.top.count) }
    topTokens = logprobs.flatMap { $0.top.map(\.token) }
    topLogprobs = logprobs.flatMap { $0.top.map(\.logprob) }
  }

  init(row: Row) throws {
    chosen = try row.decode("logprobs")
    counts = try row.decode("top_counts")
    topTokens = try row.decode("top_token_ids")
    topLogprobs = try row.decode("top_logprobs")
  }

  /// The log-probabilities per token.
  func perToken() throws -> [TokenLogprobs]? {
    guard let chosen else { return nil }
    guard let counts, let topTokens, let topLogprobs else {
      return chosen.map { TokenLogprobs(logprob: $0) }
    }
    guard counts.count == chosen.count, counts.allSatisfy({ $0 >= 0 }),
      counts.reduce(0, { $0 + Int($1) }) == topTokens.count, topTokens.count == topLogprobs.count
    else {
      throw PostgresError(code: .decoding, message: "a chunk's log-probabilities do not add up")
    }
    var next = 0
    return zip(chosen, counts).map { logprob, count in
      let range = next..<next + Int(count)
      next = range.upperBound
      return TokenLogprobs(
        logprob: logprob,
        top: range.map { .init(token: topTokens[$0], logprob: topLogprobs[$0]) })
    }
  }
}
