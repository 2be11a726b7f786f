package import JobQueue
package import Postgres

extension Statement {
  /// How many candidates are looked at beyond twice the room, because other claimers may have
  /// locked the first ones.
  static let spareInAll: Int32 = 128
  /// How many per (priority, tenant) group at least: where there are many groups, the locked jobs
  /// are spread over them.
  static let spareCandidates: Int32 = 16
  /// How many (priority, tenant) groups a claim's walk looks at per model, or as many as there is
  /// room for, if that is more.
  static let groupsPerWalk: Int32 = 64
  /// How many jobs per (priority, tenant) group are looked at beyond those, because the deadlines of
  /// the first ones may have passed. Maintenance takes such jobs out of the queue.
  static let spareOverdue: Int32 = 512
  /// How many scheduled jobs a claim makes ready on its way; maintenance makes the others.
  static let promotedByClaim: Int32 = 100

  /// Turns scheduled jobs whose time has come into ready ones, oldest first.
  ///
  /// Prior state: queued and scheduled. Returns one row per job.
  package static func promote(limit: Int32, now: Timestamp?) -> Statement {
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

  /// Lets the statements of the transaction keep their plans whatever their parameters are. To plan
  /// a claim takes twice as long as to carry it out, and every claim is to be carried out alike.
  static var planOnce: Statement {
    Statement("SET LOCAL plan_cache_mode = force_generic_plan")
  }

  /// Gives ready jobs to an executor: queued → running under a new epoch.
  ///
  /// For each model the waiting (priority, tenant) groups are found by skipping through the queue's
  /// index, highest priority first, one probe each, and of each group only as many jobs are looked
  /// at as may be needed: the length of the queue does not matter. A job's rank is the number of
  /// jobs its tenant would have running with it; within a priority the lowest rank goes first, then
  /// the oldest job. The executor's row is locked against being forgotten meanwhile; an executor
  /// that is unknown, draining or past its lease gets nothing.
  ///
  /// Nor does the number of tenants: there are two walks, over the tenants after the one given for
  /// the model and over those up to it, and each ends after `groupsPerWalk` groups. Together they
  /// see every group while there are few. With more, priorities hold as before (a walk only passes
  /// to a lower priority when it has seen all tenants of the higher one), and fairness within a
  /// priority is among the tenants seen.
  ///
  /// Returns a row per job, and one without a job for a model that got none. Each row tells the
  /// model, how many of its jobs were `seen` ready, and as `next_tenant` where the first walk
  /// ended, NULL at its end: the next claim begins there, so that claims come round to everyone. It
  /// also tells how long ago the claim's time is by then, which is when its transaction began.
  ///
  /// The ids of the jobs become an array before the jobs are locked. The planner takes a limit that
  /// it does not know for a tenth of the queue; it takes an array for a handful, as it should.
  ///
  /// - Parameter countsRunning: whether the running jobs of each tenant count for its rank. Where
  ///   they take too long to count, a tenant's rank begins with its first waiting job.
  package static func claim(
    executor: ExecutorID, models: [String], room: [Int32], tenants: [String],
    countsRunning: Bool, now: Timestamp?
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
      room AS MATERIALIZED (
        SELECT r.model, r.room, r.tenant AS pivot
        FROM unnest($2, $3, $5) AS r (model, room, tenant), executor
      ),
      head AS MATERIALIZED (
        SELECT r.model, r.room, r.pivot, h.* FROM room AS r CROSS JOIN LATERAL (
          SELECT j.priority, j.tenant, j.create_time, j.id FROM millrace.jobs AS j
          WHERE \(ready) AND j.model = r.model
          ORDER BY j.priority DESC, j.tenant, j.create_time, j.id LIMIT 1
        ) AS h
      ),
      \(walk("after", first: firstAfter, within: "true")),
      \(walk("before", first: firstBefore, within: "j.tenant <= w.pivot")),
      groups AS MATERIALIZED (
        SELECT g.*, g.room + greatest(
          \(spareCandidates),
          (g.room + \(spareInAll)) / count(*) OVER (PARTITION BY g.model, g.priority)) AS depth
        FROM (SELECT * FROM after UNION ALL SELECT * FROM before) AS g
        WHERE g.tenant IS NOT NULL
      ),
      \(candidates),
      picked AS MATERIALIZED (
        -- That an id is one of those offered, or picked, is said twice: as a condition of the index
        -- it holds whatever rows the table is thought to have.
        SELECT p.id, o.model FROM offered AS o CROSS JOIN LATERAL (
          SELECT j.id FROM unnest(o.ids) WITH ORDINALITY AS u (id, place)
          JOIN millrace.jobs AS j ON j.id = u.id
          WHERE j.state = 'queued' AND j.id = ANY (o.ids)
          ORDER BY u.place
          LIMIT o.room
          FOR UPDATE OF j SKIP LOCKED
        ) AS p
      ),
      claimed AS (
        UPDATE millrace.jobs AS j SET
          state = 'running', executor_id = $1, attempt = j.attempt + 1, epoch = j.epoch + 1,
          claim_time = clock.now, start_time = coalesce(j.start_time, clock.now)
        FROM clock, picked AS p
        WHERE j.id = p.id AND j.id = ANY (ARRAY(SELECT id FROM picked)) AND j.state = 'queued'
        RETURNING \(JobColumns.full), p.model AS claimed_model
      )
      SELECT o.model AS asked_model, cardinality(o.ids)::bigint AS seen, (
          SELECT w.tenant FROM after AS w
          WHERE w.model = o.model AND w.tenant IS NOT NULL AND EXISTS (
            SELECT FROM after AS a
            WHERE a.model = o.model AND a.number >= greatest(o.room, \(groupsPerWalk)))
          ORDER BY w.number DESC LIMIT 1
        ) AS next_tenant, (
          SELECT (extract(epoch FROM coalesce($4, clock_timestamp()) - now) * 1000000)::bigint
          FROM clock
        ) AS age_us, j.*
      FROM offered AS o LEFT JOIN claimed AS j ON j.claimed_model = o.model
      """, executor.uuid, models, room, now, tenants, countsRunning)
  }

  /// From groups to the ids that each model is offered: the first jobs of each group, ranked.
  private static let candidates = """
    running AS MATERIALIZED (
      SELECT tenant, count(*) AS jobs FROM millrace.jobs
      WHERE state = 'running' AND $6
        AND EXISTS (SELECT FROM groups GROUP BY model HAVING min(tenant) <> max(tenant))
      GROUP BY tenant
    ),
    candidates AS MATERIALIZED (
      SELECT
        c.id, c.priority, c.create_time, g.model,
        coalesce(r.jobs, 0) + row_number() OVER (
          PARTITION BY g.model, g.tenant ORDER BY c.priority DESC, c.create_time, c.id
        ) AS rank
      FROM groups AS g
      CROSS JOIN LATERAL (
        SELECT l.id, l.priority, l.create_time FROM (
          SELECT j.id, j.priority, j.create_time, j.deadline FROM millrace.jobs AS j
          WHERE \(ready) AND j.model = g.model AND j.priority = g.priority
            AND j.tenant = g.tenant AND (j.create_time, j.id) >= (g.create_time, g.id)
          ORDER BY j.create_time, j.id
          LIMIT g.depth + \(spareOverdue)
        ) AS l, clock
        WHERE l.deadline IS NULL OR l.deadline > clock.now
        ORDER BY l.create_time, l.id
        LIMIT g.depth
      ) AS c
      LEFT JOIN running AS r ON r.tenant = g.tenant
    ),
    offered AS MATERIALIZED (
      SELECT r.model, r.room, ARRAY(
        SELECT c.id FROM candidates AS c WHERE c.model = r.model
        ORDER BY c.priority DESC, c.rank, c.create_time, c.id
        LIMIT 2 * r.room + \(spareInAll)
      ) AS ids
      FROM room AS r
    )
    """

  private static let ready = "j.state = 'queued' AND NOT j.is_scheduled"
  private static let firstInOrder =
    "ORDER BY j.tenant, j.create_time, j.id LIMIT 1"

  /// The first group of a level (the head `h` of a priority's jobs, and the walk's pivot) after the
  /// pivot. The head is it where its tenant is one, which saves a probe.
  private static let firstAfter = """
    SELECT h.tenant, h.create_time, h.id WHERE h.tenant > h.pivot
    UNION ALL
    SELECT * FROM (
      SELECT j.tenant, j.create_time, j.id FROM millrace.jobs AS j
      WHERE \(ready) AND j.model = h.model AND j.priority = h.priority
        AND j.tenant > h.pivot AND h.tenant <= h.pivot
      \(firstInOrder)
    ) AS first
    """

  /// The first group of a level up to the pivot: its head, or none.
  private static let firstBefore =
    "SELECT h.tenant, h.create_time, h.id WHERE h.tenant <= h.pivot"

  /// A walk over the groups of each model, from one to the next: within a priority tenant by
  /// tenant, then to the next lower priority. A priority that none of the walk's tenants has
  /// appears with a NULL tenant, and counts.
  ///
  /// Each group comes with its oldest job, where the search for its jobs begins: a long
  /// transaction somewhere leaves entries of jobs that are long gone in the index, and they are
  /// passed over once, not once more for every probe.
  private static func walk(_ name: String, first: String, within range: String) -> String {
    """
    \(name) (model, room, pivot, priority, tenant, create_time, id, number) AS (
      SELECT h.model, h.room, h.pivot, h.priority, f.tenant, f.create_time, f.id, 1
      FROM head AS h LEFT JOIN LATERAL (\(first)) AS f ON true
      UNION ALL
      SELECT w.model, w.room, w.pivot, n.priority, n.tenant, n.create_time, n.id, w.number + 1
      FROM \(name) AS w
      LEFT JOIN LATERAL (
        SELECT j.tenant, j.create_time, j.id FROM millrace.jobs AS j
        WHERE \(ready) AND j.model = w.model AND j.priority = w.priority
          AND j.tenant > w.tenant AND \(range)
        \(firstInOrder)
      ) AS s ON true
      CROSS JOIN LATERAL (
        SELECT w.priority, s.tenant, s.create_time, s.id WHERE s.tenant IS NOT NULL
        UNION ALL
        SELECT h.priority, f.tenant, f.create_time, f.id
        FROM (
          SELECT w.model, w.pivot, j.priority, j.tenant, j.create_time, j.id
          FROM millrace.jobs AS j
          WHERE \(ready) AND j.model = w.model AND j.priority < w.priority AND s.tenant IS NULL
          ORDER BY j.priority DESC, j.tenant, j.create_time, j.id LIMIT 1
        ) AS h LEFT JOIN LATERAL (\(first)) AS f ON true
      ) AS n
      WHERE w.number < greatest(w.room, \(groupsPerWalk))
    )
    """
  }

  /// The committed tokens of jobs, in order, and their outputs.
  package static func committedTokens(of jobs: [JobID]) -> Statement {
    Statement(
      """
      SELECT job_id, token_ids, outputs FROM millrace.output_chunks WHERE job_id = ANY($1)
      ORDER BY job_id, first_index
      """, jobs.map(\.uuid))
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
