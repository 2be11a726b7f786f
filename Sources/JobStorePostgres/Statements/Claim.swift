import JobQueue
import Postgres

extension Statement {
  /// How many candidates per tenant are looked at beyond the room, because other claimers may have
  /// locked the first ones.
  static let spareCandidates: Int32 = 16

  /// Turns scheduled jobs whose time has come into ready ones, oldest first.
  ///
  /// Prior state: queued and scheduled. Returns one row per job.
  static func promote(limit: Int32, now: Timestamp?) -> Statement {
    Statement(
      """
      UPDATE millrace.jobs AS j SET is_scheduled = false
      FROM (
        SELECT id FROM millrace.jobs
        WHERE state = 'queued' AND is_scheduled AND run_after <= coalesce($2, now())
        ORDER BY run_after LIMIT $1
        FOR UPDATE SKIP LOCKED
      ) AS due
      WHERE j.id = due.id AND j.state = 'queued'
      RETURNING j.id
      """, limit, now)
  }

  /// Gives ready jobs to an executor: queued → running under a new epoch.
  ///
  /// For each model the tenants are found by skipping through the claim index (one probe each),
  /// and of each tenant only as many jobs are looked at as there is room for, so the length of
  /// the queue does not matter. A job's rank is the number of jobs its tenant would have running
  /// with it; within a priority the lowest rank goes first, then the oldest job. The executor's
  /// row is locked against being forgotten meanwhile; an executor that is unknown, draining or
  /// past its lease gets nothing.
  static func claim(
    executor: ExecutorID, models: [String], room: [Int32], now: Timestamp?
  ) -> Statement {
    Statement(
      """
      WITH RECURSIVE
      clock AS (SELECT coalesce($4, now()) AS now),
      executor AS MATERIALIZED (
        SELECT e.id FROM millrace.executors AS e, clock
        WHERE e.id = $1 AND NOT e.is_draining AND e.expire_time > clock.now
        FOR KEY SHARE OF e
      ),
      room AS (SELECT r.model, r.room FROM unnest($2, $3) AS r (model, room), executor),
      tenants (model, room, tenant) AS (
        SELECT r.model, r.room, (
          SELECT min(j.tenant) FROM millrace.jobs AS j
          WHERE j.state = 'queued' AND NOT j.is_scheduled AND j.model = r.model)
        FROM room AS r
        UNION ALL
        SELECT t.model, t.room, (
          SELECT min(j.tenant) FROM millrace.jobs AS j
          WHERE j.state = 'queued' AND NOT j.is_scheduled AND j.model = t.model
            AND j.tenant > t.tenant)
        FROM tenants AS t WHERE t.tenant IS NOT NULL
      ),
      running AS (
        SELECT tenant, count(*) AS jobs FROM millrace.jobs WHERE state = 'running' GROUP BY tenant
      ),
      candidates AS (
        SELECT
          c.id, c.priority, c.create_time, t.model,
          coalesce(r.jobs, 0) + row_number() OVER (
            PARTITION BY t.model, t.tenant ORDER BY c.priority DESC, c.create_time, c.id
          ) AS rank
        FROM tenants AS t
        CROSS JOIN LATERAL (
          SELECT j.id, j.priority, j.create_time FROM millrace.jobs AS j, clock
          WHERE j.state = 'queued' AND NOT j.is_scheduled AND j.model = t.model
            AND j.tenant = t.tenant AND (j.deadline IS NULL OR j.deadline > clock.now)
          ORDER BY j.priority DESC, j.create_time, j.id
          LIMIT t.room + \(spareCandidates)
        ) AS c
        LEFT JOIN running AS r ON r.tenant = t.tenant
        WHERE t.tenant IS NOT NULL
      ),
      picked AS MATERIALIZED (
        SELECT p.id FROM room AS r CROSS JOIN LATERAL (
          SELECT j.id FROM candidates AS c JOIN millrace.jobs AS j ON j.id = c.id
          WHERE c.model = r.model AND j.state = 'queued'
          ORDER BY c.priority DESC, c.rank, c.create_time, c.id
          LIMIT r.room
          FOR UPDATE OF j SKIP LOCKED
        ) AS p
      )
      UPDATE millrace.jobs AS j SET
        state = 'running', executor_id = $1, attempt = j.attempt + 1, epoch = j.epoch + 1,
        claim_time = clock.now, start_time = coalesce(j.start_time, clock.now)
      FROM picked, clock
      WHERE j.id = picked.id AND j.state = 'queued'
      RETURNING \(JobColumns.list)
      """, executor.uuid, models, room, now)
  }

  /// The committed tokens of the jobs that this transaction has claimed.
  ///
  /// A statement of its own, so that it sees what was committed while the claim waited.
  static func claimedTokens(executor: ExecutorID, now: Timestamp?) -> Statement {
    Statement(
      """
      SELECT c.job_id, c.token_ids
      FROM millrace.jobs AS j JOIN millrace.output_chunks AS c ON c.job_id = j.id
      WHERE j.state = 'running' AND j.executor_id = $1 AND j.claim_time = coalesce($2, now())
        AND j.output_tokens > 0
      ORDER BY c.job_id, c.first_index
      """, executor.uuid, now)
  }
}
