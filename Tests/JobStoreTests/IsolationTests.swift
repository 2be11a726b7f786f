import Foundation
import JobQueue
import JobStorePostgres
import Postgres
import TestDatabase
import Testing

/// What must go on while something beside it fails or is slow.
@Suite("Leases, claims and rescue", .serialized, .timeLimit(.minutes(5)))
struct IsolationTests {
  private func connect(
    _ database: String, settings: [String: String] = [:]
  ) async throws -> Connection {
    try await Connection.connect(
      ConnectionConfiguration(connectionString: database, settings: settings),
      logger: TestServer.logger)
  }

  /// Lets every statement that makes such a row fail with a code.
  private func forbid(
    _ event: String, where condition: String, code: String = "P0001", on connection: Connection
  ) async throws {
    try await connection.execute(
      script: """
        CREATE FUNCTION forbid() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
          RAISE EXCEPTION 'forbidden' USING ERRCODE = '\(code)';
        END $$;
        CREATE TRIGGER forbid BEFORE \(event) ON millrace.jobs
        FOR EACH ROW WHEN (\(condition)) EXECUTE FUNCTION forbid();
        """)
  }

  @Test("a lease is renewed also where lost claims cannot be handed back")
  func unnamed() async throws {
    let database = try await MigratedDatabases.shared.make()
    let clock = TestClock()
    try await withPostgresStore(database, now: { clock.now }) { store in
      let test = StoreUnderTest(store: store, clock: clock)
      let (executor, lease) = try await test.running()
      try await test.submit()
      #expect(try await test.claim(executor).count == 1)  // its answer is lost
      let connection = try await connect(database)
      try await forbid("UPDATE", where: "NEW.state = 'queued'", on: connection)
      clock.advance(by: StoreUnderTest.leaseDuration + .seconds(1))
      let beat = try await store.heartbeat(
        executor, leases: [lease], leaseDuration: StoreUnderTest.leaseDuration)
      #expect(beat == HeartbeatResult(isRegistered: true, isDraining: false, held: [lease]))
      let status = try #require(try await store.executors().first)
      #expect(status.expireTime == clock.now + StoreUnderTest.leaseDuration)
      await connection.close()
    }
  }

  @Test("jobs are claimed also where scheduled ones cannot be made ready")
  func promotion() async throws {
    let database = try await MigratedDatabases.shared.make()
    let clock = TestClock()
    try await withPostgresStore(database, now: { clock.now }) { store in
      let test = StoreUnderTest(store: store, clock: clock)
      let executor = try await test.executor()
      let ready = try await test.submit()
      try await test.submit(runAfter: clock.now + .seconds(1))
      clock.advance(by: .seconds(2))
      let connection = try await connect(database)
      try await forbid(
        "UPDATE", where: "OLD.is_scheduled AND NOT NEW.is_scheduled", on: connection)
      #expect(try await test.claim(executor, ["model": 5]).map(\.job.id) == [ready])
      await connection.close()
    }
  }

  @Test("jobs of lost executors are rescued also where old jobs cannot be deleted")
  func pruning() async throws {
    let database = try await MigratedDatabases.shared.make()
    try await withPostgresStore(
      database, maintenanceInterval: .milliseconds(20), retention: .zero
    ) { store in
      let test = StoreUnderTest(store: store, clock: TestClock())
      let connection = try await connect(database)
      // As if the database were away, for this statement.
      try await forbid("DELETE", where: "true", code: "57P03", on: connection)
      let old = try await test.submit()
      _ = try await store.cancel(old, tenant: nil)
      let executor = ExecutorDescription(
        id: ExecutorID(), host: "h", processID: 1, models: ["model"], slots: 1)
      let signals = store.signals()
      try await store.register(executor, leaseDuration: .milliseconds(500))
      let id = try await test.submit()
      try #require(try await test.claim(executor.id).count == 1)
      try await waitForSignal(signals) { $0 == .revoked(id) }
      await connection.close()
    }
  }

  @Test("a snapshot that is kept open does not keep leases from being renewed or jobs claimed")
  func pinnedSnapshot() async throws {
    let database = try await MigratedDatabases.shared.make()
    let clock = TestClock()
    try await withPostgresStore(database, now: { clock.now }) { store in
      let test = StoreUnderTest(store: store, clock: clock)
      let executor = try await test.executor()
      for tenant in ["a", "b"] { try await test.submit(tenant: tenant) }
      let leases = try await test.claim(executor, ["model": 2]).map(\.lease)
      let pinned = try await connect(database)
      try await pinned.query("BEGIN ISOLATION LEVEL REPEATABLE READ")
      try await pinned.query("SELECT count(*) FROM millrace.jobs")
      for index in 0..<1_000 {
        let writes = leases.map { StoreUnderTest.write($0, from: index, [1]) }
        #expect(try await store.write(writes) == [.written, .written])
      }
      for tenant in ["a", "b", "c"] { try await test.submit(tenant: tenant) }
      clock.advance(by: .seconds(20))
      let beat = try await store.heartbeat(
        executor, leases: leases, leaseDuration: StoreUnderTest.leaseDuration)
      #expect(beat.held == Set(leases))
      // Planned as for the store itself.
      let connection = try await connect(database, settings: PostgresJobStore.sessionSettings)
      // After a vacuum without statistics the table looks as if next to nothing were in it, and
      // reading all of it as cheap as looking for a few rows.
      try await connection.query("VACUUM millrace.jobs")
      var renewal = Statement.heartbeat(
        executor, leaseDuration: StoreUnderTest.leaseDuration, now: clock.now)
      renewal.sql = "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + renewal.sql
      #expect(try await PlanTests.pages(of: renewal, on: connection) < 50)
      // What a claim does where the running jobs take too long to count.
      var claim = Statement.claim(
        executor: executor, models: ["model"], room: [1], tenants: [""], countsRunning: false,
        now: clock.now)
      claim.sql = "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + claim.sql
      let (pages, plan) = try await PlanTests.explained(claim, on: connection)
      #expect(pages < 200, "planned as \(plan)")
      #expect(try await test.claim(executor, ["model": 2]).count == 2)
      try await pinned.query("COMMIT")
      await pinned.close()
      await connection.close()
    }
  }

  @Test("a rest lasts as long as it was begun for, and no longer")
  func rest() {
    var rest = Rest()
    let start = ContinuousClock.now
    #expect(rest.isOver(at: start))
    rest.begin(for: .seconds(3), at: start)
    #expect(!rest.isOver(at: start + .seconds(2)))
    #expect(rest.isOver(at: start + .seconds(3)))
  }

  @Test("the output of claimed jobs is read in parts of bounded size, every job in one of them")
  func batches() {
    var generator = SystemRandomNumberGenerator()
    let jobs = [900_000, 1, 499_999, 1, 400_000, 200_000].map { (tokens: Int64) in
      Job(
        id: JobID.make(at: .now, using: &generator), tenant: "t",
        spec: GenerationSpec(
          model: "m", prompt: .text("p"), sampling: SamplingParameters(seed: 1)),
        state: .running, usage: Usage(outputTokens: tokens), createTime: .now)
    }
    let batches = PostgresJobStore.batches(of: jobs)
    #expect(batches.map(\.count) == [1, 2, 2, 1])
    #expect(batches.flatMap { $0 } == jobs.map(\.id))
  }

  @Test("claimed jobs whose output takes too long to read go back to the queue")
  func slowOutput() async throws {
    let database = try await MigratedDatabases.shared.make()
    let clock = TestClock()
    // Beyond the test's own limit: what is limited by this alone never ends.
    try await withPostgresStore(
      database, statementTimeout: .seconds(3_600), now: { clock.now }
    ) { store in
      let test = StoreUnderTest(store: store, clock: clock)
      let (executor, lease) = try await test.running()
      #expect(try await test.write(lease, from: 0, [1]) == .written)
      try await store.release([lease], executor: executor)
      let blocker = try await connect(database)
      try await blocker.query("BEGIN")
      try await blocker.query("LOCK TABLE millrace.output_chunks IN ACCESS EXCLUSIVE MODE")
      let result = try await store.claim(ClaimRequest(executor: executor, room: ["model": 1]))
      #expect(result == ClaimResult(modelsWithMore: ["model"]))
      let job = try await test.job(lease.job)
      #expect(job.state == .queued)
      #expect(job.attempt == 0)
      try await blocker.query("COMMIT")
      #expect(try await test.claim(executor).map(\.committedTokens) == [[1]])
      await blocker.close()
    }
  }

  @Test("a listing that takes too long is ended, and says what to do")
  func longListing() async throws {
    let database = try await MigratedDatabases.shared.make()
    let clock = TestClock()
    try await withPostgresStore(database, now: { clock.now }) { store in
      let blocker = try await connect(database)
      try await blocker.query("BEGIN")
      try await blocker.query("LOCK TABLE millrace.jobs IN ACCESS EXCLUSIVE MODE")
      await #expect {
        _ = try await store.list(JobFilter(), page: PageRequest(size: 9))
      } throws: { error in
        let error = error as? JobStoreError
        return error?.code == .exhausted && error?.message.contains("narrow") == true
      }
      try await blocker.query("COMMIT")
      #expect(try await store.list(JobFilter(), page: PageRequest(size: 9)).jobs.isEmpty)
      await blocker.close()
    }
  }
}
