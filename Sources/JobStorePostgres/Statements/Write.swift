import Foundation
package import JobQueue
package import Postgres

extension Statement {
  /// How `write` is to be carried out, whatever the statistics say: by looking each job up by its id.
  /// They may be of a time when the table was empty, or when nothing was running.
  static let planWrite = Statement(
    """
    SELECT set_config('enable_seqscan', 'off', true), set_config('enable_hashjoin', 'off', true),
      set_config('enable_mergejoin', 'off', true)
    """)

  /// Commits what an executor made of some jobs: output, usage and ends, in one statement.
  ///
  /// Prior state of each: running under exactly the lease's epoch, with the committed output ending
  /// where the chunk begins. Returns the ids of those of which that is true; of the others, nothing
  /// changes. No job may be among them twice. Their rows are locked in the order that they come in.
  package static func write(_ writes: [LeaseWrite], now: Timestamp?) -> Statement {
    Statement(
      """
      WITH given AS MATERIALIZED (
        -- The state as a column, lest the index of running jobs be read for each.
        SELECT *, text 'running' AS held FROM unnest(
          $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18,
          $19, $20, $21, $22, $23
        ) AS g (
          id, epoch, first_index, start, length, model_fingerprint, prompt_tokens,
          cached_prompt_tokens, drafted_tokens, accepted_tokens, draft_rounds, position_start,
          position_length, state, finish_reason, alternative_reasons, failure_code,
          failure_message, logprob_start, count_start, top_start, top_length, output_start)
      ), locked AS MATERIALIZED (
        SELECT g.* FROM given AS g CROSS JOIN LATERAL (
          SELECT FROM millrace.jobs AS j
          WHERE j.id = g.id AND j.epoch = g.epoch AND j.state = g.held
            AND (g.first_index IS NULL OR j.output_tokens = g.first_index)
          FOR NO KEY UPDATE) AS found
      ), target AS (
        UPDATE millrace.jobs AS j SET
          output_tokens = j.output_tokens + g.length,
          model_fingerprint = coalesce(nullif(g.model_fingerprint, ''), j.model_fingerprint),
          prompt_tokens = g.prompt_tokens, cached_prompt_tokens = g.cached_prompt_tokens,
          drafted_tokens = g.drafted_tokens, accepted_tokens = g.accepted_tokens,
          draft_rounds = g.draft_rounds,
          accepted_by_position =
            $32[g.position_start : g.position_start + g.position_length - 1],
          first_token_time = coalesce(
            j.first_token_time, CASE WHEN g.length > 0 THEN coalesce($33, now()) END),
          state = coalesce(g.state, j.state), finish_reason = g.finish_reason,
          alternative_finish_reasons = string_to_array(g.alternative_reasons, ','),
          failure_code = g.failure_code, failure_message = g.failure_message,
          finish_time = CASE WHEN g.state IS NOT NULL THEN coalesce($33, now()) END
        FROM locked AS g
        WHERE j.id = g.id AND j.epoch = g.epoch AND j.state = g.held
        RETURNING j.id, j.epoch, j.executor_id, j.claim_time, g.first_index, g.start, g.length,
          g.logprob_start, g.count_start, g.top_start, g.top_length, g.output_start
      ), chunk AS (
        INSERT INTO millrace.output_chunks (
          job_id, first_index, token_ids, pieces, offsets_us, logprobs, top_counts, top_token_ids,
          top_logprobs, outputs, epoch, executor_id, claim_time, write_time)
        SELECT
          t.id, t.first_index, $24[t.start : t.start + t.length - 1],
          $25[t.start : t.start + t.length - 1], $26[t.start : t.start + t.length - 1],
          -- A slice from NULL on is NULL.
          $27[t.logprob_start : t.logprob_start + t.length - 1],
          $28[t.count_start : t.count_start + t.length - 1],
          $29[t.top_start : t.top_start + t.top_length - 1],
          $30[t.top_start : t.top_start + t.top_length - 1],
          $31[t.output_start : t.output_start + t.length - 1],
          t.epoch, t.executor_id, t.claim_time, coalesce($33, now())
        FROM target AS t WHERE t.length > 0
      )
      SELECT id FROM target
      """,
      parameters: WriteColumns(writes).parameters + [now])
  }

  /// What tells a write that was committed before from one whose lease is lost.
  static func leaseStates(_ jobs: [JobID]) -> Statement {
    Statement(
      """
      SELECT
        id, epoch, state, output_tokens, finish_reason, alternative_finish_reasons, failure_code
      FROM millrace.jobs WHERE id = ANY($1)
      """, jobs.map(\.uuid))
  }
}

/// Writes as columns, one element each; what a write has several of lies one write's after the
/// other's, and the write says where its own begin, counted from 1.
private struct WriteColumns {
  private var jobs: [UUID] = []
  private var epochs: [Int64] = []
  private var firstIndexes: [Int64?] = []
  private var starts: [Int32] = []
  private var lengths: [Int32] = []
  private var fingerprints: [String] = []
  private var promptTokens: [Int64] = []
  private var cachedPromptTokens: [Int64] = []
  private var draftedTokens: [Int64] = []
  private var acceptedTokens: [Int64] = []
  private var draftRounds: [Int64] = []
  private var positionStarts: [Int32] = []
  private var positionLengths: [Int32] = []
  private var states: [String?] = []
  private var reasons: [String?] = []
  private var alternativeReasons: [String?] = []
  private var failureCodes: [String?] = []
  private var failureMessages: [String?] = []
  private var logprobStarts: [Int32?] = []
  private var countStarts: [Int32?] = []
  private var topStarts: [Int32?] = []
  private var topLengths: [Int32?] = []
  private var outputStarts: [Int32?] = []

  // Of all writes together.
  private var tokens: [Int32] = []
  private var pieces: [String] = []
  private var offsets: [Int64] = []
  private var logprobs: [Float] = []
  private var counts: [Int32] = []
  private var topTokens: [Int32] = []
  private var topLogprobs: [Float] = []
  private var outputs: [Int16] = []
  private var acceptedByPosition: [Int64] = []

  init(_ writes: [LeaseWrite]) {
    for write in writes {
      jobs.append(write.lease.job.uuid)
      epochs.append(write.lease.epoch)
      fingerprints.append(write.modelFingerprint)
      promptTokens.append(write.usage.promptTokens)
      cachedPromptTokens.append(write.usage.cachedPromptTokens)
      draftedTokens.append(write.usage.draftedTokens)
      acceptedTokens.append(write.usage.acceptedTokens)
      draftRounds.append(write.usage.draftRounds)
      positionStarts.append(Int32(acceptedByPosition.count + 1))
      positionLengths.append(Int32(write.usage.acceptedByPosition.count))
      acceptedByPosition += write.usage.acceptedByPosition
      let end = EndColumns(write.end)
      states.append(end.state)
      reasons.append(end.reason)
      alternativeReasons.append(end.alternativeReasons)
      failureCodes.append(end.failureCode)
      failureMessages.append(end.failureMessage)
      append(write.chunk.flatMap { $0.tokens.isEmpty ? nil : $0 })
    }
  }

  private mutating func append(_ chunk: OutputChunk?) {
    firstIndexes.append(chunk.map { Int64($0.firstIndex) })
    starts.append(Int32(tokens.count + 1))
    lengths.append(Int32(chunk?.tokens.count ?? 0))
    let columns = LogprobColumns(chunk?.logprobs)
    logprobStarts.append(columns.chosen.map { _ in Int32(logprobs.count + 1) })
    countStarts.append(columns.counts.map { _ in Int32(counts.count + 1) })
    topStarts.append(columns.topTokens.map { _ in Int32(topTokens.count + 1) })
    topLengths.append(columns.topTokens.map { Int32($0.count) })
    outputStarts.append(chunk?.outputs.map { _ in Int32(outputs.count + 1) })
    tokens += chunk?.tokens ?? []
    pieces += chunk?.pieces ?? []
    offsets += chunk?.offsetsMicroseconds ?? []
    logprobs += columns.chosen ?? []
    counts += columns.counts ?? []
    topTokens += columns.topTokens ?? []
    topLogprobs += columns.topLogprobs ?? []
    outputs += chunk?.outputs?.map { Int16(clamping: $0) } ?? []
  }

  /// In the order of the statement's parameters.
  var parameters: [any PostgresEncodable] {
    [
      jobs, epochs, firstIndexes, starts, lengths, fingerprints, promptTokens, cachedPromptTokens,
      draftedTokens, acceptedTokens, draftRounds, positionStarts, positionLengths, states, reasons,
      alternativeReasons, failureCodes, failureMessages, logprobStarts, countStarts, topStarts,
      topLengths, outputStarts, tokens, pieces, offsets, logprobs, counts, topTokens, topLogprobs,
      outputs, acceptedByPosition,
    ]
  }
}

/// The columns that an end sets; all NULL while the job goes on.
private struct EndColumns {
  var state: String?
  var reason: String?
  /// With commas between them; `nil` where there are none.
  var alternativeReasons: String?
  var failureCode: String?
  var failureMessage: String?

  init(_ end: JobEnd?) {
    switch end {
    case nil: break
    case .succeeded(let finishReason, let alternatives):
      state = JobState.succeeded.rawValue
      reason = finishReason.rawValue
      if !alternatives.isEmpty {
        alternativeReasons = alternatives.map(\.rawValue).joined(separator: ",")
      }
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
