package import JobQueue
package import Postgres

extension Statement {
  private static let backToQueue = """
    state = 'queued', executor_id = NULL, attempt = j.attempt - 1, epoch = j.epoch + 1
    """

  /// Hands jobs back: running under the given epochs → queued, the attempt not counted.
  static func release(_ leases: [Lease], executor: ExecutorID) -> Statement {
    Statement(
      """
      UPDATE millrace.jobs AS j SET \(backToQueue)
      FROM (
        SELECT h.id, h.epoch FROM millrace.jobs AS h
        JOIN unnest($1, $2) AS l (id, epoch) ON h.id = l.id AND h.epoch = l.epoch
        WHERE h.state = 'running' AND h.executor_id = $3
        ORDER BY h.id FOR UPDATE OF h
      ) AS held
      WHERE j.id = held.id AND j.epoch = held.epoch AND j.state = 'running'
      RETURNING j.id
      """, leases.map(\.job.uuid), leases.map(\.epoch), executor.uuid)
  }

  /// Hands all jobs of an executor back.
  static func releaseAll(executor: ExecutorID) -> Statement {
    Statement(
      """
      UPDATE millrace.jobs AS j SET \(backToQueue)
      FROM (
        SELECT id, epoch FROM millrace.jobs
        WHERE state = 'running' AND executor_id = $1
        ORDER BY id FOR UPDATE
      ) AS held
      WHERE j.id = held.id AND j.epoch = held.epoch AND j.state = 'running'
      RETURNING j.id
      """, executor.uuid)
  }

  /// Hands back what an executor was given but does not name: claims whose answer it never got.
  ///
  /// Only claims older than a lease's duration, so that an answer on its way is not overtaken. A
  /// job that someone else has locked is passed over: a heartbeat waits for no job.
  package static func releaseUnnamed(
    _ leases: [Lease], executor: ExecutorID, leaseDuration: Duration, now: Timestamp?
  ) -> Statement {
    Statement(
      """
      UPDATE millrace.jobs AS j SET \(backToQueue)
      FROM (
        SELECT h.id, h.epoch FROM millrace.jobs AS h
        WHERE h.state = 'running' AND h.executor_id = $3
          AND h.claim_time < coalesce($5, now()) - $4 * interval '1 microsecond'
          AND NOT EXISTS (
            SELECT FROM unnest($1, $2) AS l (id, epoch) WHERE l.id = h.id AND l.epoch = h.epoch)
        ORDER BY h.id FOR UPDATE OF h SKIP LOCKED
      ) AS forgotten
      WHERE j.id = forgotten.id AND j.epoch = forgotten.epoch AND j.state = 'running'
      RETURNING j.id
      """, leases.map(\.job.uuid), leases.map(\.epoch), executor.uuid, leaseDuration.microseconds,
      now)
  }
}
