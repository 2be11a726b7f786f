package import JobQueue
package import Postgres

extension Statement {
  /// How many jobs wait, each kind counted in its own index.
  static var queuedJobs: Statement {
    Statement(
      """
      SELECT
        (SELECT count(*) FROM millrace.jobs WHERE state = 'queued' AND NOT is_scheduled)
        + (SELECT count(*) FROM millrace.jobs WHERE state = 'queued' AND is_scheduled) AS jobs
      """)
  }

  /// Running jobs, and those that ended lately, by their state.
  package static func statistics(endedWithin window: Duration, now: Timestamp?) -> Statement {
    Statement(
      """
      SELECT state, count(*) AS jobs, sum(output_tokens)::bigint AS output_tokens
      FROM millrace.jobs WHERE state = 'running' GROUP BY state
      UNION ALL
      SELECT state, count(*), sum(output_tokens)::bigint
      FROM millrace.jobs
      WHERE finish_time > coalesce($2, now()) - $1 * interval '1 microsecond'
      GROUP BY state
      """, window.microseconds, now)
  }

  /// How many of the oldest jobs are looked at for one whose deadline has not passed.
  private static let oldestLookedAt = 1_000

  /// When the oldest job that could run now became ready: of those that are ready, and of those
  /// that are scheduled for a time that has come. One row, which may hold NULL.
  ///
  /// Jobs whose deadline has passed do not count; of those at the head only so many are passed over.
  package static func oldestReady(now: Timestamp?) -> Statement {
    Statement(
      """
      SELECT least(
        (SELECT min(time) FROM (
           SELECT greatest(create_time, run_after) AS time, deadline FROM millrace.jobs
           WHERE state = 'queued' AND NOT is_scheduled
           ORDER BY greatest(create_time, run_after) LIMIT \(oldestLookedAt)
         ) AS ready WHERE deadline IS NULL OR deadline > coalesce($1, now())),
        (SELECT min(run_after) FROM (
           SELECT run_after, deadline FROM millrace.jobs
           WHERE state = 'queued' AND is_scheduled AND run_after <= coalesce($1, now())
           ORDER BY run_after LIMIT \(oldestLookedAt)
         ) AS due WHERE deadline IS NULL OR deadline > coalesce($1, now()))
      ) AS time
      """, now)
  }
}
