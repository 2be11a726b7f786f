import Foundation
package import JobQueue
package import Postgres

extension Statement {
  static func jobs(_ ids: [JobID], tenant: String?) -> Statement {
    Statement(
      """
      SELECT \(JobColumns.summary) FROM millrace.jobs AS j
      WHERE j.id = ANY($1) AND ($2 IS NULL OR j.tenant = $2)
      """, ids.map(\.uuid), tenant)
  }

  /// One job with its prompt.
  static func job(_ id: JobID, tenant: String?) -> Statement {
    Statement(
      """
      SELECT \(JobColumns.full) FROM millrace.jobs AS j
      WHERE j.id = $1 AND ($2 IS NULL OR j.tenant = $2)
      """, id.uuid, tenant)
  }

  /// The chunks that hold output from an index on: whole ones, as many as fit, at least one.
  package static func chunks(of id: JobID, from index: Int, maxTokens: Int) -> Statement {
    Statement(
      """
      WITH first AS (
        SELECT max(first_index) AS index FROM millrace.output_chunks
        WHERE job_id = $1 AND first_index <= $2
      )
      SELECT
        c.first_index, c.token_ids, c.pieces, c.offsets_us, c.logprobs, c.top_counts,
        c.top_token_ids, c.top_logprobs, c.outputs
      FROM millrace.output_chunks AS c, first
      WHERE c.job_id = $1 AND c.first_index >= first.index
        AND c.first_index <= $2 + $3
        AND c.first_index + cardinality(c.token_ids) > $2
        AND (c.first_index <= $2 OR c.first_index + cardinality(c.token_ids) <= $2 + $3)
      ORDER BY c.first_index
      """, id.uuid, Int64(index), Int64(maxTokens))
  }

  /// Sends a payload to every listener. A transaction of its own: commits that notify take a lock
  /// on the whole database.
  static func notify(channel: String, payload: String) -> Statement {
    Statement("SELECT pg_notify($1, $2)", channel, payload)
  }
}

extension OutputChunk {
  /// Reads a row of `Statement.chunks`.
  init(row: Row) throws {
    self.init(
      firstIndex: Int(try row.decode("first_index", as: Int64.self)),
      tokens: try row.decode("token_ids"), pieces: try row.decode("pieces"),
      offsetsMicroseconds: try row.decode("offsets_us"),
      logprobs: try LogprobColumns(row: row).perToken(), outputs: try row.decodeOutputs())
  }
}

extension Row {
  /// Which output each token of a chunk belongs to; `nil` where all are of output 0.
  func decodeOutputs() throws -> [Int32]? {
    guard let outputs = try decode("outputs", as: [Int32]?.self) else { return nil }
    guard outputs.allSatisfy(JobLimits.outputNumbers.contains) else {
      throw PostgresError(code: .decoding, message: "a chunk is of outputs that there cannot be")
    }
    return outputs
  }
}
