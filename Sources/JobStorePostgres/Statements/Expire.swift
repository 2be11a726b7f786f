package import JobQueue
package import Postgres

extension Statement {
  /// Ends jobs whose deadline has passed: queued or running → expired. Returns the jobs as they
  /// now are, and whether each was running.
  package static func expire(limit: Int32, now: Timestamp?) -> Statement {
    Statement(
      """
      WITH overdue AS (
        SELECT j.id, j.state = 'running' AS was_running FROM millrace.jobs AS j
        WHERE j.state IN ('queued', 'running') AND j.deadline IS NOT NULL
          AND j.deadline <= coalesce($2, now())
        ORDER BY j.deadline, j.id LIMIT $1
        FOR UPDATE SKIP LOCKED
      )
      UPDATE millrace.jobs AS j SET
        state = 'expired', executor_id = NULL, epoch = j.epoch + 1,
        finish_time = coalesce($2, now())
      FROM overdue
      WHERE j.id = overdue.id AND j.state IN ('queued', 'running')
      RETURNING \(JobColumns.summary), overdue.was_running
      """, limit, now)
  }
}
