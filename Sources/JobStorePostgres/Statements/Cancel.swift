import JobQueue
import Postgres

extension Statement {
  /// Ends a job from outside: queued or running → cancelled. Returns whether it was running; no
  /// row when there is no such job, or it has ended.
  static func cancel(_ id: JobID, tenant: String?, now: Timestamp?) -> Statement {
    Statement(
      """
      WITH target AS (
        SELECT j.id, j.state = 'running' AS was_running FROM millrace.jobs AS j
        WHERE j.id = $1 AND ($2 IS NULL OR j.tenant = $2) AND j.state IN ('queued', 'running')
        FOR UPDATE
      )
      UPDATE millrace.jobs AS j SET
        state = 'cancelled', executor_id = NULL, epoch = j.epoch + 1,
        finish_time = coalesce($3, now())
      FROM target
      WHERE j.id = target.id AND j.state IN ('queued', 'running')
      RETURNING target.was_running
      """, id.uuid, tenant, now)
  }
}
