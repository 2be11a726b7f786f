import Foundation
import JobQueue
import Postgres

/// The columns that make a `Job`, of a table called `j` in the statement.
enum JobColumns {
  /// The whole job.
  static let full = "j.spec, " + rest
  /// The job without its prompt, which the server leaves out of what it sends.
  static let summary = "j.spec - 'prompt' AS spec, " + rest

  private static let rest = """
    j.id, j.tenant, j.request_id, j.state, j.attempt, j.epoch, j.executor_id, j.model_fingerprint,
    j.prompt_tokens, j.cached_prompt_tokens, j.output_tokens, j.drafted_tokens, j.accepted_tokens,
    j.draft_rounds, j.accepted_by_position,
    j.finish_reason, j.alternative_finish_reasons, j.failure_code, j.failure_message,
    j.create_time, j.start_time, j.first_token_time, j.finish_time
    """
}

extension Job {
  /// Reads a row of `JobColumns.full` or `JobColumns.summary`.
  init(row: Row) throws {
    let spec: JSONText = try row.decode("spec")
    self.init(
      id: JobID(try row.decode("id", as: UUID.self)), tenant: try row.decode("tenant"),
      requestID: try row.decode("request_id"),
      spec: try JSONDecoder().decode(GenerationSpec.self, from: Data(spec.text.utf8)),
      state: try row.decodeCase("state"), attempt: try row.decode("attempt"),
      epoch: try row.decode("epoch"),
      executor: try row.decode("executor_id", as: UUID?.self).map { ExecutorID($0) },
      modelFingerprint: try row.decode("model_fingerprint"),
      usage: Usage(
        promptTokens: try row.decode("prompt_tokens"),
        cachedPromptTokens: try row.decode("cached_prompt_tokens"),
        outputTokens: try row.decode("output_tokens"),
        draftedTokens: try row.decode("drafted_tokens"),
        acceptedTokens: try row.decode("accepted_tokens"),
        draftRounds: try row.decode("draft_rounds"),
        acceptedByPosition: try row.decode("accepted_by_position")),
      finishReason: try row.decodeCaseIfPresent("finish_reason"),
      alternativeFinishReasons: try row.decodeCases("alternative_finish_reasons"),
      failure: try row.decodeCaseIfPresent("failure_code", as: JobFailure.Code.self).map {
        JobFailure(code: $0, message: try row.decode("failure_message"))
      },
      createTime: try row.decode("create_time"), startTime: try row.decode("start_time"),
      firstTokenTime: try row.decode("first_token_time"),
      finishTime: try row.decode("finish_time"))
  }
}

extension Row {
  /// A case of an enumeration that is stored by its name.
  func decodeCase<Value: RawRepresentable<String>>(
    _ column: String, as type: Value.Type = Value.self
  ) throws -> Value {
    let name: String = try decode(column)
    guard let value = Value(rawValue: name) else { throw Self.unknown(column, type) }
    return value
  }

  /// Cases that are stored by their names; none where there is NULL.
  func decodeCases<Value: RawRepresentable<String>>(
    _ column: String, as type: Value.Type = Value.self
  ) throws -> [Value] {
    let names: [String]? = try decode(column)
    return try (names ?? []).map { name in
      guard let value = Value(rawValue: name) else { throw Self.unknown(column, type) }
      return value
    }
  }

  func decodeCaseIfPresent<Value: RawRepresentable<String>>(
    _ column: String, as type: Value.Type = Value.self
  ) throws -> Value? {
    guard try decode(column, as: String?.self) != nil else { return nil }
    return try decodeCase(column)
  }

  private static func unknown(_ column: String, _ type: Any.Type) -> PostgresError {
    PostgresError(
      code: .decoding, message: "column \(column) holds a \(type) unknown to this program")
  }
}
