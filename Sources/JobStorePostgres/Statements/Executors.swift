import JobQueue
import Postgres

extension Statement {
  /// Makes an executor known, or renews what is known of it. Its draining mark stays.
  static func register(
    _ executor: ExecutorDescription, leaseDuration: Duration, now: Timestamp?
  ) -> Statement {
    Statement(
      """
      INSERT INTO millrace.executors AS e (
        id, host, process_id, models, slots, start_time, heartbeat_time, expire_time)
      SELECT $1, $2, $3, $4, $5, t.now, t.now, t.now + $6 * interval '1 microsecond'
      FROM (SELECT coalesce($7, now()) AS now) AS t
      ON CONFLICT (id) DO UPDATE SET
        host = excluded.host, process_id = excluded.process_id, models = excluded.models,
        slots = excluded.slots, heartbeat_time = excluded.heartbeat_time,
        expire_time = excluded.expire_time
      """, executor.id.uuid, executor.host, executor.processID, executor.models, executor.slots,
      leaseDuration.microseconds, now)
  }

  /// Limits what follows in the transaction. The constant text of each limit is prepared once.
  static func timeLimit(_ limit: Duration) -> Statement {
    Statement("SET LOCAL statement_timeout = \(limit.microseconds / 1_000)")
  }

  /// The longest that a heartbeat may run: well below any lease, so that there is time for another.
  static let heartbeatTimeLimit = Duration.seconds(4)

  /// Renews an executor's lease. Returns its draining mark; no row when it is not known.
  static func heartbeat(
    _ executor: ExecutorID, leaseDuration: Duration, now: Timestamp?
  ) -> Statement {
    Statement(
      """
      UPDATE millrace.executors SET
        heartbeat_time = coalesce($3, now()),
        expire_time = coalesce($3, now()) + $2 * interval '1 microsecond'
      WHERE id = $1
      RETURNING is_draining
      """, executor.uuid, leaseDuration.microseconds, now)
  }

  /// Which of these leases are still held.
  static func held(_ leases: [Lease], executor: ExecutorID) -> Statement {
    Statement(
      """
      SELECT j.id, j.epoch FROM millrace.jobs AS j
      JOIN unnest($1, $2) AS l (id, epoch) ON j.id = l.id AND j.epoch = l.epoch
      WHERE j.state = 'running' AND j.executor_id = $3
      """, leases.map(\.job.uuid), leases.map(\.epoch), executor.uuid)
  }

  static func forget(_ executor: ExecutorID) -> Statement {
    Statement("DELETE FROM millrace.executors WHERE id = $1", executor.uuid)
  }

  /// Forgets executors whose lease ran out and whose jobs were all rescued.
  static func forgetExpired(now: Timestamp?) -> Statement {
    Statement(
      """
      DELETE FROM millrace.executors WHERE id IN (
        SELECT e.id FROM millrace.executors AS e
        WHERE e.expire_time <= coalesce($1, now()) AND NOT EXISTS (
          SELECT FROM millrace.jobs AS j WHERE j.state = 'running' AND j.executor_id = e.id)
        FOR UPDATE SKIP LOCKED)
      """, now)
  }

  /// Ends the leases of all executors, whoever and wherever they are.
  static func endLeases(now: Timestamp?) -> Statement {
    Statement(
      """
      UPDATE millrace.executors SET expire_time = coalesce($1, now())
      WHERE expire_time > coalesce($1, now())
      """, now)
  }

  /// Marks an executor as draining. Returns a row when it is known.
  static func drain(_ executor: ExecutorID) -> Statement {
    Statement(
      "UPDATE millrace.executors SET is_draining = true WHERE id = $1 RETURNING id", executor.uuid)
  }

  static var executors: Statement {
    Statement(
      """
      SELECT
        e.id, e.host, e.process_id, e.models, e.slots, e.start_time, e.heartbeat_time,
        e.expire_time, e.is_draining,
        (SELECT count(*) FROM millrace.jobs AS j
         WHERE j.state = 'running' AND j.executor_id = e.id)::integer AS running_jobs
      FROM millrace.executors AS e
      ORDER BY e.start_time, e.id
      """)
  }
}
