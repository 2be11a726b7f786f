package import JobQueue
package import Postgres

extension Statement {
  /// Takes jobs from executors that are gone: running → queued, or failed after the last attempt.
  ///
  /// Prior state: running under an executor that is unknown or past its lease. Returns the jobs
  /// as they now are.
  /// - Parameter reach: for how long the caller has reached the database, where that matters.
  package static func rescue(limit: Int32, reach: Duration?, now: Timestamp?) -> Statement {
    Statement(
      takeBack(
        """
        FROM millrace.jobs AS j LEFT JOIN millrace.executors AS e ON e.id = j.executor_id
        WHERE j.state = 'running' AND (e.id IS NULL
          OR \(isLapsed(now: "$3", reach: "$5")))
        ORDER BY j.id LIMIT $4
        FOR UPDATE OF j SKIP LOCKED
        """), JobFailure.Code.attemptsExhausted.rawValue, attemptsExhausted, now, limit,
      reach?.microseconds)
  }

  /// Takes jobs from an executor that gives them up: running → queued, or failed after the last
  /// attempt.
  ///
  /// Prior state: running under exactly these leases of the executor. Returns the jobs as they now
  /// are.
  package static func abandon(
    _ leases: [Lease], executor: ExecutorID, now: Timestamp?
  ) -> Statement {
    Statement(
      takeBack(
        """
        FROM millrace.jobs AS j
        JOIN unnest($4, $5) AS l (id, epoch) ON j.id = l.id AND j.epoch = l.epoch
        WHERE j.state = 'running' AND j.executor_id = $6
        ORDER BY j.id FOR UPDATE OF j
        """), JobFailure.Code.attemptsExhausted.rawValue, attemptsExhausted, now,
      leases.map(\.job.uuid), leases.map(\.epoch), executor.uuid)
  }

  /// Messages that name the number of attempts; arrays count from 1.
  private static let attemptsExhausted = (1...JobLimits.maxAttempts).map {
    JobFailure.attemptsExhausted($0).message
  }

  /// Returns jobs to the queue with the attempt counted, or fails them when it was the last.
  ///
  /// Its first parameters are the failure's code, its messages and the store's clock.
  /// - Parameter jobs: which jobs `j` they are, and how they are locked.
  private static func takeBack(_ jobs: String) -> String {
    """
    WITH lost AS (
      SELECT j.id, j.epoch, j.attempt >= j.max_attempts AS is_last
      \(jobs)
    )
    UPDATE millrace.jobs AS j SET
      state = CASE WHEN lost.is_last THEN 'failed' ELSE 'queued' END,
      executor_id = NULL, epoch = j.epoch + 1,
      failure_code = CASE WHEN lost.is_last THEN $1 END,
      failure_message = CASE WHEN lost.is_last THEN ($2)[least(j.attempt, cardinality($2))] END,
      finish_time = CASE WHEN lost.is_last THEN coalesce($3, now()) END
    FROM lost
    WHERE j.id = lost.id AND j.epoch = lost.epoch AND j.state = 'running'
    RETURNING \(JobColumns.summary)
    """
  }
}
