package import JobQueue
package import Postgres

extension Statement {
  /// How much output goes in one batch, or one job, if it alone has more.
  private static let prunedTokens: Int64 = 100_000

  /// Deletes jobs that ended long ago, oldest first, with their output. Returns how many they were.
  ///
  /// Prior state: ended. Bounded by jobs and by their output, each row of which goes with them.
  package static func prune(
    olderThan retention: Duration, limit: Int32, now: Timestamp?
  ) -> Statement {
    Statement(
      """
      WITH old AS (
        SELECT o.id, sum(o.output_tokens) OVER (ORDER BY o.finish_time, o.id) - o.output_tokens
          AS tokens_before
        FROM (
          SELECT id, finish_time, output_tokens FROM millrace.jobs
          WHERE finish_time <= coalesce($3, now()) - $2 * interval '1 microsecond'
          ORDER BY finish_time, id LIMIT $1
        ) AS o
      ),
      picked AS MATERIALIZED (
        SELECT j.id FROM old JOIN millrace.jobs AS j ON j.id = old.id
        WHERE old.tokens_before < \(prunedTokens)
        FOR UPDATE OF j SKIP LOCKED
      )
      DELETE FROM millrace.jobs AS j USING picked
      WHERE j.id = picked.id AND j.state IN ('succeeded', 'failed', 'cancelled', 'expired')
      RETURNING j.id
      """, limit, retention.microseconds, now)
  }
}
