import JobQueue
import Postgres

extension Statement {
  /// How many candidates per tenant are looked at beyond the room, because other claimers may have
  /// locked the first ones.
  static let spareCandidates: Int32 = 16
  /// How many (priority, tenant) groups a claim's walk looks at per model, or as many as there is
  /// room for, if that is more.
  static let groupsPerWalk: Int32 = 64
  /// The longest that a claim may run: another executor, or the next try, will do better.
  static let claimTimeLimit = Duration.seconds(5)

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
  /// For each model the waiting (priority, tenant) groups are found by skipping through the queue's
  /// index, highest priority first, a few probes each, and of each group only as many jobs are
  /// looked at as there is room for: the length of the queue does not matter. A job's rank is the
  /// number of jobs its tenant would have running with it; within a priority the lowest rank goes
  /// first, then the oldest job. The executor's row is locked against being forgotten meanwhile;
  /// an executor that is unknown, draining or past its lease gets nothing.
  ///
  /// Nor does the number of tenants: there are two walks, over the tenants after the one given for
  /// the model and over those up to it, and each ends after `groupsPerWalk` groups. Together they
  /// see every group while there are few. With more, priorities hold as before (a walk only passes
  /// to a lower priority when it has seen all tenants of the higher one), and fairness within a
  /// priority is among the tenants seen. Each row returns as `next_tenant` where the first walk
  /// ended, NULL at its end: the next claim begins there, so that claims come round to everyone.
  static func claim(
    executor: ExecutorID, models: [String], room: [Int32], tenants: [String], now: Timestamp?
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
      room AS (
        SELECT r.model, r.room, r.tenant AS pivot
        FROM unnest($2, $3, $5) AS r (model, room, tenant), executor
      ),
      \(walk("after", over: "j.tenant > r.pivot")),
      \(walk("before", over: "j.tenant <= r.pivot")),
      running AS (
        SELECT tenant, count(*) AS jobs FROM millrace.jobs WHERE state = 'running' GROUP BY tenant
      ),
      candidates AS (
        SELECT
          c.id, c.priority, c.create_time, g.model,
          coalesce(r.jobs, 0) + row_number() OVER (
            PARTITION BY g.model, g.tenant ORDER BY c.priority DESC, c.create_time, c.id
          ) AS rank
        FROM (SELECT * FROM after UNION ALL SELECT * FROM before) AS g
        CROSS JOIN LATERAL (
          SELECT j.id, j.priority, j.create_time FROM millrace.jobs AS j, clock
          WHERE \(ready) AND j.model = g.model AND j.priority = g.priority
            AND j.tenant = g.tenant AND (j.deadline IS NULL OR j.deadline > clock.now)
          ORDER BY j.create_time, j.id
          LIMIT g.room + \(spareCandidates)
        ) AS c
        LEFT JOIN running AS r ON r.tenant = g.tenant
        WHERE g.tenant IS NOT NULL
      ),
      picked AS MATERIALIZED (
        SELECT p.id, r.model FROM room AS r CROSS JOIN LATERAL (
          SELECT j.id FROM candidates AS c JOIN millrace.jobs AS j ON j.id = c.id
          WHERE c.model = r.model AND j.state = 'queued'
          ORDER BY c.priority DESC, c.rank, c.create_time, c.id
          LIMIT r.room
          FOR UPDATE OF j SKIP LOCKED
        ) AS p
      ),
      ends AS (
        SELECT DISTINCT ON (model) model, tenant FROM after
        WHERE tenant IS NOT NULL AND model IN (
          SELECT model FROM after WHERE number >= greatest(room, \(groupsPerWalk)))
        ORDER BY model, number DESC
      )
      UPDATE millrace.jobs AS j SET
        state = 'running', executor_id = $1, attempt = j.attempt + 1, epoch = j.epoch + 1,
        claim_time = clock.now, start_time = coalesce(j.start_time, clock.now)
      FROM clock, picked LEFT JOIN ends ON ends.model = picked.model
      WHERE j.id = picked.id AND j.state = 'queued'
      RETURNING \(JobColumns.full), ends.tenant AS next_tenant
      """, executor.uuid, models, room, now, tenants)
  }

  private static let ready = "j.state = 'queued' AND NOT j.is_scheduled"

  /// A walk over the groups of each model, from one to the next: within a priority tenant by
  /// tenant, then to the next lower priority. A priority that none of the walk's tenants has
  /// appears with a NULL tenant, and counts.
  private static func walk(_ name: String, over range: String) -> String {
    """
    \(name) (model, room, pivot, priority, tenant, number) AS (
      SELECT r.model, r.room, r.pivot, top.priority, (
        SELECT min(j.tenant) FROM millrace.jobs AS j
        WHERE \(ready) AND j.model = r.model AND j.priority = top.priority AND \(range)), 1
      FROM room AS r
      CROSS JOIN LATERAL (
        SELECT max(j.priority) AS priority FROM millrace.jobs AS j
        WHERE \(ready) AND j.model = r.model
        OFFSET 0
      ) AS top
      WHERE top.priority IS NOT NULL
      UNION ALL
      SELECT r.model, r.room, r.pivot, level.priority, coalesce(sibling.tenant, (
        SELECT min(j.tenant) FROM millrace.jobs AS j
        WHERE \(ready) AND j.model = r.model AND j.priority = level.priority AND \(range))),
        r.number + 1
      FROM \(name) AS r
      CROSS JOIN LATERAL (
        SELECT min(j.tenant) AS tenant FROM millrace.jobs AS j
        WHERE \(ready) AND j.model = r.model AND j.priority = r.priority
          AND j.tenant > r.tenant AND \(range)
        OFFSET 0
      ) AS sibling
      CROSS JOIN LATERAL (
        SELECT CASE WHEN sibling.tenant IS NOT NULL THEN r.priority ELSE (
          SELECT max(j.priority) FROM millrace.jobs AS j
          WHERE \(ready) AND j.model = r.model AND j.priority < r.priority) END AS priority
        OFFSET 0
      ) AS level
      WHERE level.priority IS NOT NULL AND r.number < greatest(r.room, \(groupsPerWalk))
    )
    """
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

  /// Fails jobs that were claimed and cannot be read: running under the given epochs → failed.
  /// Returns the ids of those that were.
  static func failCorrupt(
    _ leases: [Lease], executor: ExecutorID, now: Timestamp?
  ) -> Statement {
    let failure = JobFailure.corrupt
    return Statement(
      """
      UPDATE millrace.jobs AS j SET
        state = 'failed', failure_code = $4, failure_message = $5,
        finish_time = coalesce($6, now())
      FROM unnest($1, $2) AS l (id, epoch)
      WHERE j.id = l.id AND j.epoch = l.epoch AND j.state = 'running' AND j.executor_id = $3
      RETURNING j.id
      """, leases.map(\.job.uuid), leases.map(\.epoch), executor.uuid, failure.code.rawValue,
      failure.message, now)
  }
}
