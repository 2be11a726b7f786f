package import JobQueue
package import Postgres

extension Statement {
  /// Makes an executor known, or renews what is known of it. Its draining mark stays.
  static func register(
    _ executor: ExecutorDescription, leaseDuration: Duration, now: Timestamp?
  ) -> Statement {
    Statement(
      """
      INSERT INTO millrace.executors AS e (
        id, host, process_id, models, slots, start_time, heartbeat_time, expire_time,
        process_start)
      SELECT $1, $2, $3, $4, $5, t.now, t.now, t.now + $6 * interval '1 microsecond', $8
      FROM (SELECT coalesce($7, now()) AS now) AS t
      ON CONFLICT (id) DO UPDATE SET
        host = excluded.host, process_id = excluded.process_id, models = excluded.models,
        slots = excluded.slots, heartbeat_time = excluded.heartbeat_time,
        expire_time = excluded.expire_time, process_start = excluded.process_start
      """, executor.id.uuid, executor.host, executor.processID, executor.models, executor.slots,
      leaseDuration.microseconds, now, executor.processStart)
  }

  /// Limits what follows in the transaction. The constant text of each limit is prepared once.
  static func timeLimit(_ limit: Duration) -> Statement {
    Statement("SET LOCAL statement_timeout = \(limit.microseconds / 1_000)")
  }

  /// The longest that each statement of a heartbeat may run: its two together well below a lease,
  /// so that there is time for another.
  static let heartbeatTimeLimit = Duration.seconds(2)

  /// Renews an executor's lease. Returns its draining mark; no row when it is not known.
  package static func heartbeat(
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
  package static func held(_ leases: [Lease], executor: ExecutorID) -> Statement {
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

  /// Whether the lease of an executor `e` ran out although it could have been renewed: the server
  /// has been up for as long as the lease lasts, and the caller has reached it for that long.
  ///
  /// - Parameters:
  ///   - now: the parameter that holds the store's clock. Where it is not NULL it is not the
  ///     server's, which then says nothing.
  ///   - reach: the parameter that holds the microseconds of the caller; NULL leaves them out.
  static func isLapsed(now: String, reach: String) -> String {
    """
    e.expire_time <= coalesce(\(now), now())
      AND (\(now) IS NOT NULL
        OR pg_postmaster_start_time() + (e.expire_time - e.heartbeat_time) <= now())
      AND (\(reach) IS NULL
        OR e.expire_time - e.heartbeat_time <= \(reach) * interval '1 microsecond')
    """
  }

  /// Forgets executors whose lease ran out and whose jobs were all rescued.
  static func forgetExpired(reach: Duration?, now: Timestamp?) -> Statement {
    Statement(
      """
      DELETE FROM millrace.executors WHERE id IN (
        SELECT e.id FROM millrace.executors AS e
        WHERE \(isLapsed(now: "$1", reach: "$2")) AND NOT EXISTS (
          SELECT FROM millrace.jobs AS j WHERE j.state = 'running' AND j.executor_id = e.id)
        FOR UPDATE SKIP LOCKED)
      """, now, reach?.microseconds)
  }

  /// Ends the leases of executors as if they had been given for no time at all, so that they count
  /// as lapsed at once.
  static func endLeases(of executors: [ExecutorID], now: Timestamp?) -> Statement {
    Statement(
      """
      UPDATE millrace.executors SET
        heartbeat_time = coalesce($2, now()), expire_time = coalesce($2, now())
      WHERE id = ANY($1)
      """, executors.map(\.uuid), now)
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
        e.id, e.host, e.process_id, e.process_start, e.models, e.slots, e.start_time, e.heartbeat_time,
        e.expire_time, e.is_draining,
        (SELECT count(*) FROM millrace.jobs AS j
         WHERE j.state = 'running' AND j.executor_id = e.id)::integer AS running_jobs
      FROM millrace.executors AS e
      ORDER BY e.start_time, e.id
      """)
  }
}
