import Foundation
import JobQueue
import JobStorePostgres
import Postgres
import TestDatabase
import Testing

/// How the database carries out the statements that are made all the time, with a long queue of
/// which it has statistics.
@Suite(.serialized) struct PlanTests {
  private static let queuedJobs = 120_000

  @Test("no statement of the daily work reads the whole table of jobs")
  func plans() async throws {
    let database = try await MigratedDatabases.shared.make()
    let clock = TestClock()
    try await withPostgresStore(database, now: { clock.now }) { store in
      let test = StoreUnderTest(store: store, clock: clock)
      let (executor, lease) = try await test.running()
      let connection = try await Connection.connect(
        ConnectionConfiguration(connectionString: database), logger: TestServer.logger)
      try await Self.fillQueue(like: lease.job, on: connection)
      let claim = Statement.claim(
        executor: executor, models: ["model", "other"], room: [8, 64], tenants: ["", "t3"],
        countsRunning: true, now: nil)
      let statements = [
        "claim": claim,
        "write": Statement.write([StoreUnderTest.write(lease, from: 0, [1])], now: nil),
        "held leases": .held([lease], executor: executor),
        "rescue": .rescue(limit: 500, reach: .seconds(60), now: nil),
        "abandoned leases": .abandon([lease], executor: executor, now: nil),
        "expire": .expire(limit: 500, now: nil),
        "promote": .promote(limit: 100, now: nil),
        "list": try .list(JobFilter(tenant: "t1"), page: PageRequest(size: 50)),
        "unnamed leases": .releaseUnnamed(
          [lease], executor: executor, leaseDuration: .seconds(15), now: nil),
        "prune": .prune(olderThan: .seconds(60), limit: 500, now: nil),
        "submitted": .submitted(tenants: ["t1"], requestIDs: ["name"], others: [lease.job]),
        "statistics": .statistics(endedWithin: .seconds(60), now: nil),
        "oldest ready": .oldestReady(now: nil),
        "committed tokens": .committedTokens(of: [lease.job]),
        "chunks": .chunks(of: lease.job, from: 0, maxTokens: 100),
      ]
      for (name, statement) in statements.sorted(by: { $0.key < $1.key }) {
        var explained = statement
        explained.sql = "EXPLAIN (FORMAT JSON) " + statement.sql
        try Self.check(try await connection.query(explained), name)
      }
      // The same claim with a plan that is made once for all parameters.
      try await connection.query("SET plan_cache_mode = force_generic_plan")
      try await connection.execute(
        script: "PREPARE claim (uuid, text[], int[], timestamptz, text[], boolean) AS "
          + claim.sql)
      let generic =
        "EXPLAIN (FORMAT JSON) EXECUTE claim ('\(executor)', '{model}', '{8}', NULL, '{t3}', true)"
      try Self.check(try await connection.query(Statement(generic)), "claim, prepared")
      await connection.close()

      let result = try await store.claim(ClaimRequest(executor: executor, room: ["model": 20]))
      #expect(result.jobs.count == 20)
      #expect(Set(result.jobs.map(\.job.tenant)).count == 4)
      #expect(result.modelsWithMore == ["model"])
    }
  }

  /// Puts very many copies of a job into the queue, and lets the database count them.
  private static func fillQueue(like job: JobID, on connection: Connection) async throws {
    try await connection.query(
      Statement(
        """
        INSERT INTO millrace.jobs (
          id, tenant, spec, model, priority, max_attempts, labels, state, is_scheduled, create_time)
        SELECT gen_random_uuid(), 't' || i % 4, spec, model, i / 4 % 3, max_attempts, labels,
          'queued', false, create_time + i * interval '1 millisecond'
        FROM millrace.jobs, generate_series(1, $2) AS i WHERE id = $1
        """, job.uuid, Int32(queuedJobs)))
    try await connection.query("ANALYZE millrace.jobs")
  }

  /// Looks through a plan for steps that read all jobs.
  private static func check(_ rows: Rows, _ name: String) throws {
    let row = try #require(rows.first)
    let text: String = try row.decode(0)
    let plan = try JSONSerialization.jsonObject(with: Data(text.utf8))
    let reads = nodes(in: plan).filter {
      ["jobs", "output_chunks"].contains($0["Relation Name"] as? String)
    }
    #expect(!reads.isEmpty, "\(name)")
    for node in reads where node["Operation"] == nil {
      let kind = node["Node Type"] as? String ?? ""
      #expect(kind != "Seq Scan", "\(name): \(text)")
      // The small indexes hold few jobs; the others must be searched, or end at a limit.
      let index = node["Index Name"] as? String ?? ""
      let isSearch = node["Index Cond"] != nil || node["Recheck Cond"] != nil
      #expect(index != "jobs_pkey" || isSearch, "\(name): \(text)")
      #expect(index != "jobs_queue_index" || isSearch, "\(name): \(text)")
    }
  }

  @Test("very many jobs whose deadline has passed, at the head of the queue, cost a claim little")
  func overdue() async throws {
    let database = try await MigratedDatabases.shared.make()
    try await withPostgresStore(database) { store in
      let test = StoreUnderTest(store: store, clock: TestClock())
      let executor = ExecutorDescription(
        id: ExecutorID(), host: "h", processID: 1, models: ["model"], slots: 8)
      try await store.register(executor, leaseDuration: .seconds(600))
      let behind = try await test.submit()
      let connection = try await Connection.connect(
        ConnectionConfiguration(connectionString: database), logger: TestServer.logger)
      try await connection.query(
        """
        INSERT INTO millrace.jobs (
          id, tenant, spec, model, priority, deadline, max_attempts, labels, state, is_scheduled,
          create_time)
        SELECT gen_random_uuid(), tenant, spec, model, priority, now() - interval '1 minute',
          max_attempts, labels, 'queued', false, create_time - i * interval '1 millisecond'
        FROM millrace.jobs, generate_series(1, 100000) AS i WHERE id = $1
        """, behind.uuid)
      try await connection.query("ANALYZE millrace.jobs")
      var claim = Statement.claim(
        executor: executor.id, models: ["model"], room: [8], tenants: [""], countsRunning: true,
        now: nil)
      claim.sql = "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + claim.sql
      let pages = try await Self.pages(of: claim, on: connection)
      #expect(pages < 2_500)
      // Maintenance clears the way.
      var expired = 0
      var last = 0
      repeat {
        last = try await store.expire(limit: 20_000).count
        expired += last
      } while last > 0
      #expect(expired == 100_000)
      #expect(try await test.claim(executor.id).map(\.job.id) == [behind])
      await connection.close()
    }
  }

  /// How many pages a statement that is explained has looked at.
  static func pages(of explained: Statement, on connection: Connection) async throws -> Int {
    try await Self.explained(explained, on: connection).pages
  }

  /// The same, with the plan.
  static func explained(
    _ explained: Statement, on connection: Connection
  ) async throws -> (pages: Int, plan: String) {
    let row = try #require(try await connection.query(explained).first)
    let text: String = try row.decode(0)
    let plan = try JSONSerialization.jsonObject(with: Data(text.utf8))
    let root = try #require(nodes(in: plan).first { $0["Node Type"] != nil })
    let pages = (root["Shared Hit Blocks"] as? Int ?? 0) + (root["Shared Read Blocks"] as? Int ?? 0)
    return (pages, text)
  }

  private static func nodes(in value: Any) -> [[String: Any]] {
    switch value {
    case let list as [Any]: return list.flatMap { nodes(in: $0) }
    case let object as [String: Any]: return [object] + object.values.flatMap { nodes(in: $0) }
    default: return []
    }
  }

  @Test("a session has the settings that it was given")
  func settings() async throws {
    let connection = try await Connection.connect(
      ConnectionConfiguration(
        connectionString: try await TestServer.shared.connectionString(),
        settings: ["jit": "off", "enable_seqscan": "off"]), logger: TestServer.logger)
    for name in ["jit", "enable_seqscan"] {
      let row = try #require(try await connection.query(Statement("SHOW \(name)")).first)
      #expect(try row.decode(0, as: String.self) == "off")
    }
    await connection.close()
  }
}
