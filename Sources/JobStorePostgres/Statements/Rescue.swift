package import JobQueue
package import Postgres

extension Statement {
  /// Takes jobs from executors that are gone: running → queued, or failed after the last attempt.
  ///
  /// Prior state: running under an executor that is unknown or past its lease. Returns the jobs
  /// as they now are.
  /// - Parameter reach: for how long the caller has reached the database, where that matters.
  package static func rescue(limit: Int32, reach: Duration?, now: Timestamp?) -> Statement {
    // The message names the number of attempts; arrays count from 1.
    let messages = (1...JobLimits.maxAttempts).map { JobFailure.attemptsExhausted($0).message }
    return Statement(
      """
      WITH lost AS (
        SELECT j.id, j.epoch, j.attempt >= j.max_attempts AS is_last
        FROM millrace.jobs AS j LEFT JOIN millrace.executors AS e ON e.id = j.executor_id
        WHERE j.state = 'running' AND (e.id IS NULL
          OR \(isLapsed(now: "$4", reach: "$5")))
        ORDER BY j.id LIMIT $1
        FOR UPDATE OF j SKIP LOCKED
      )
      UPDATE millrace.jobs AS j SET
        state = CASE WHEN lost.is_last THEN 'failed' ELSE 'queued' END,
        executor_id = NULL, epoch = j.epoch + 1,
        failure_code = CASE WHEN lost.is_last THEN $2 END,
        failure_message = CASE WHEN lost.is_last THEN ($3)[least(j.attempt, cardinality($3))] END,
        finish_time = CASE WHEN lost.is_last THEN coalesce($4, now()) END
      FROM lost
      WHERE j.id = lost.id AND j.epoch = lost.epoch AND j.state = 'running'
      RETURNING \(JobColumns.summary)
      """, limit, JobFailure.Code.attemptsExhausted.rawValue, messages, now,
      reach?.microseconds)
  }
}
