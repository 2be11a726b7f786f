import Foundation
package import JobQueue
package import Postgres

extension Statement {
  /// Inserts jobs, passing over those whose (tenant, request id) is known.
  ///
  /// Prior state: none. Returns the ids that were inserted. Rows go in by request id, so that two
  /// submissions with the same ids in another order cannot deadlock.
  static func submit(_ submissions: [Submission], now: Timestamp?) throws -> Statement {
    let encoder = JSONEncoder()
    func json(_ value: some Encodable) throws -> JSONText {
      JSONText(String(decoding: try encoder.encode(value), as: UTF8.self))
    }
    return Statement(
      """
      INSERT INTO millrace.jobs (
        id, tenant, request_id, spec, model, priority, run_after, deadline, max_attempts, labels,
        state, is_scheduled, create_time)
      SELECT
        s.id, s.tenant, s.request_id, s.spec, s.model, s.priority, s.run_after, s.deadline,
        s.max_attempts, s.labels, 'queued', coalesce(s.run_after > t.now, false), t.now
      FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) WITH ORDINALITY AS s (
        id, tenant, request_id, spec, model, priority, run_after, deadline, max_attempts, labels,
        position)
      CROSS JOIN (SELECT coalesce($11, now()) AS now) AS t
      ORDER BY s.tenant, s.request_id, s.position
      ON CONFLICT (tenant, request_id) DO NOTHING
      RETURNING id
      """,
      submissions.map(\.id.uuid), submissions.map(\.tenant), submissions.map(\.requestID),
      try submissions.map { try json($0.spec) }, submissions.map(\.spec.model),
      submissions.map(\.spec.priority), submissions.map(\.spec.runAfter),
      submissions.map(\.spec.deadline), submissions.map(\.spec.maxAttempts),
      try submissions.map { try json($0.spec.labels) }, now)
  }

  /// The jobs of submissions, by request id where they have one, else by id.
  static func submitted(_ submissions: [Submission]) -> Statement {
    let named = submissions.filter { $0.requestID != nil }
    return submitted(
      tenants: named.map(\.tenant), requestIDs: named.map { $0.requestID ?? "" },
      others: submissions.filter { $0.requestID == nil }.map(\.id))
  }

  /// The jobs of pairs of tenant and request id, and those with the ids of `others`.
  package static func submitted(
    tenants: [String], requestIDs: [String], others: [JobID] = []
  ) -> Statement {
    Statement(
      """
      SELECT \(JobColumns.summary) FROM millrace.jobs AS j WHERE j.id = ANY($1)
      UNION ALL
      SELECT \(JobColumns.summary) FROM millrace.jobs AS j
      JOIN (SELECT DISTINCT * FROM unnest($2, $3) AS s (tenant, request_id)) AS s
        ON j.tenant = s.tenant AND j.request_id = s.request_id
      """, others.map(\.uuid), tenants, requestIDs)
  }
}
