import Foundation
import JobQueue
import JobStorePostgres
import Logging
import Postgres
import TestDatabase
import Testing

/// What the database store does when something else in its database is wrong, slow or in the way.
@Suite(.serialized, .timeLimit(.minutes(5))) struct RobustnessTests {
  private func connect(_ database: String) async throws -> Connection {
    try await Connection.connect(
      ConnectionConfiguration(connectionString: database), logger: TestServer.logger)
  }

  @Test(
    "a job that cannot be read is failed, and the others are claimed",
    arguments: [
      "UPDATE millrace.jobs SET spec = '{\"model\": 7}' WHERE id = $1",
      "UPDATE millrace.jobs SET spec = spec - 'prompt' WHERE id = $1",
      "UPDATE millrace.jobs SET output_tokens = 3 WHERE id = $1",
      "DELETE FROM millrace.output_chunks WHERE job_id = $1",
      "UPDATE millrace.output_chunks SET token_ids = '{1,NULL}' WHERE job_id = $1",
      "UPDATE millrace.output_chunks SET outputs = '{0,64}' WHERE job_id = $1",
    ])
  func corrupt(damage: String) async throws {
    let database = try await MigratedDatabases.shared.make()
    let clock = TestClock()
    try await withPostgresStore(database, now: { clock.now }) { store in
      let test = StoreUnderTest(store: store, clock: clock)
      let (executor, lease) = try await test.running()
      _ = try await test.write(lease, from: 0, [1, 2])
      try await store.release([lease], executor: executor)
      let sound = try await test.submit()
      let connection = try await connect(database)
      // What an older program may have stored is not checked.
      try await connection.execute(
        script: "ALTER TABLE millrace.output_chunks DROP CONSTRAINT output_chunks_plain_check")
      try await connection.query(Statement(damage, lease.job.uuid))
      let reader = SignalReader(store.signals())
      #expect(try await test.claim(executor, ["model": 5]).map(\.job.id) == [sound])
      #expect(await reader.next() == .progressed(sound, nil))
      #expect(await reader.next() == .progressed(lease.job, nil))
      #expect(try await test.claim(executor, ["model": 5]).isEmpty)
      let row = try #require(
        try await connection.query(
          "SELECT state, failure_code, failure_message FROM millrace.jobs WHERE id = $1",
          lease.job.uuid
        ).first)
      #expect(try row.decode("state", as: String.self) == "failed")
      #expect(try row.decode("failure_code", as: String.self) == "corrupt")
      #expect(try row.decode("failure_message", as: String.self).contains("submit it again"))
      // It does not hide others from a listing either.
      let page = try await store.list(JobFilter(), page: PageRequest(size: 9))
      #expect(page.jobs.contains { $0.id == sound })
      #expect(page.next == nil)
      await connection.close()
    }
  }

  @Test("executors do not wait behind clients")
  func ownConnections() async throws {
    let database = try await MigratedDatabases.shared.make()
    let clock = TestClock()
    try await withPostgresStore(
      database, pool: PoolConfiguration(maxConnections: 1), now: { clock.now }
    ) { store in
      let test = StoreUnderTest(store: store, clock: clock)
      let (executor, lease) = try await test.running()
      let blocked = try await test.submit(model: "other")
      let next = try await test.submit()
      let blocker = try await connect(database)
      let watcher = try await connect(database)
      try await blocker.query("BEGIN")
      try await blocker.query("SELECT FROM millrace.jobs WHERE id = $1 FOR UPDATE", blocked.uuid)
      // The only connection of the clients waits for the lock.
      async let cancelled = store.cancel(blocked, tenant: nil)
      while try await watcher.query(
        """
        SELECT FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock'
        """
      ).isEmpty {}
      let beat = try await store.heartbeat(
        executor, leases: [lease], leaseDuration: StoreUnderTest.leaseDuration)
      #expect(beat.held == [lease])
      #expect(try await test.write(lease, from: 0, [1]) == .written)
      #expect(try await test.claim(executor).map(\.job.id) == [next])
      try await store.release([lease], executor: executor)
      _ = try await store.rescue(limit: 9)
      _ = try await store.expire(limit: 9)
      try await blocker.query("COMMIT")
      #expect(try await cancelled?.state == .cancelled)
      await blocker.close()
      await watcher.close()
    }
  }

  /// A process of this machine that has ended.
  private func endedProcess() throws -> Int32 {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/bin/sh")
    process.arguments = ["-c", "exit 0"]
    try process.run()
    process.waitUntilExit()
    return process.processIdentifier
  }

  /// A process that has ended without its parent, this process, having noticed.
  private func unnoticedProcess() throws -> Int32 {
    var processID: pid_t = 0
    var arguments: [UnsafeMutablePointer<CChar>?] = [strdup("true"), nil]
    defer { free(arguments[0]) }
    try #require(posix_spawn(&processID, "/bin/true", nil, nil, &arguments, nil) == 0)
    var information = siginfo_t()
    try #require(waitid(P_PID, id_t(processID), &information, WEXITED | WNOWAIT) == 0)
    return processID
  }

  @Test("a start of the service ends the leases of this machine's processes that are gone")
  func expireLeases() async throws {
    let database = try await MigratedDatabases.shared.make()
    let clock = TestClock()
    let ended = try endedProcess()
    let unnoticed = try unnoticedProcess()
    defer { waitpid(unnoticed, nil, 0) }
    let here = ProcessInfo.processInfo.hostName
    try await withPostgresStore(database, now: { clock.now }) { before in
      let test = StoreUnderTest(store: before, clock: clock)
      func lease(host: String, processID: Int32, start: Int64? = nil) async throws -> Lease {
        let executor = ExecutorDescription(
          id: ExecutorID(), host: host, processID: processID, processStart: start,
          models: ["model"], slots: 1)
        try await before.register(executor, leaseDuration: StoreUnderTest.leaseDuration)
        try await test.submit(maxAttempts: 2)
        return try #require(try await test.claim(executor.id).first?.lease)
      }
      let gone = try await lease(host: here, processID: ended)
      let earlier = try await lease(
        host: here, processID: ProcessInfo.processInfo.processIdentifier)
      let zombie = try await lease(host: here, processID: unnoticed)
      let living = try await lease(
        host: here, processID: getppid(), start: LocalProcess(getppid())?.start)
      let reused = try await lease(host: here, processID: getppid(), start: 1)
      let remote = try await lease(host: "another." + here, processID: ended)
      let configuration = PostgresJobStoreConfiguration(now: { clock.now })
      let after = try await PostgresJobStore.open(
        connectionString: database, configuration: configuration, logger: TestServer.logger)
      let reader = SignalReader(after.signals())
      try await after.expireLeases()  // it does not run yet
      let lost = [gone, earlier, zombie, reused]
      var revoked: Set<JobSignal?> = []
      for _ in lost { revoked.insert(await reader.next()) }
      #expect(revoked == Set(lost.map { .revoked($0.job) }))
      for lease in lost {
        let job = try await test.job(lease.job)
        #expect(job.state == .queued)
        #expect(job.attempt == 1)
        #expect(try await test.write(lease, from: 0, [1]) == .leaseLost)
      }
      for lease in [living, remote] {
        #expect(try await test.job(lease.job).attempt == 1)
        #expect(try await test.write(lease, from: 0, [1]) == .written)
      }
      #expect(try await before.executors().count == 2)
      try await after.expireLeases()
      let next = try await test.claim(test.executor(), ["model": 9])
      #expect(Set(next.map(\.job.id)) == Set(lost.map(\.job)))
    }
  }

  @Test("leases are renewed and health checks answered while writes wait for a lock")
  func leaseConnection() async throws {
    let database = try await MigratedDatabases.shared.make()
    let clock = TestClock()
    try await withPostgresStore(database, now: { clock.now }) { store in
      let test = StoreUnderTest(store: store, clock: clock)
      let (executor, lease) = try await test.running()
      let blocker = try await connect(database)
      let watcher = try await connect(database)
      try await blocker.query("BEGIN")
      try await blocker.query("SELECT FROM millrace.jobs WHERE id = $1 FOR UPDATE", lease.job.uuid)
      try await withThrowingTaskGroup(of: WriteResult.self) { group in
        let connections = PostgresJobStoreConfiguration().executorConnections
        for _ in 0..<connections {
          group.addTask { try await test.write(lease, from: 0, [1]) }
        }
        var looks = 0
        while try await watcher.query(
          """
          SELECT pid FROM pg_stat_activity
          WHERE datname = current_database() AND wait_event_type = 'Lock'
          """
        ).count < connections {
          looks += 1
          try #require(looks < 20_000, "the writes do not wait for the lock")
        }
        try await store.ping()
        let beat = try await store.heartbeat(
          executor, leases: [lease], leaseDuration: StoreUnderTest.leaseDuration)
        #expect(beat.held == [lease])
        // Not even a job that it wants to hand back holds a heartbeat up.
        clock.advance(by: StoreUnderTest.leaseDuration + .seconds(1))
        let late = try await store.heartbeat(
          executor, leases: [], leaseDuration: StoreUnderTest.leaseDuration)
        #expect(late.isRegistered)
        try await blocker.query("COMMIT")
        for try await _ in group {}
      }
      await blocker.close()
      await watcher.close()
    }
  }

  @Test("a known job that is deleted while it is submitted again is made anew")
  func deletedMeanwhile() async throws {
    let database = try await MigratedDatabases.shared.make()
    let clock = TestClock()
    try await withPostgresStore(database, now: { clock.now }) { store in
      let test = StoreUnderTest(store: store, clock: clock)
      let old = test.submission("name")
      _ = try await store.submit([old])
      _ = try await store.cancel(old.id, tenant: nil)
      let connection = try await connect(database)
      // The pruner, between the statement that inserts and the one that reads.
      try await connection.execute(
        script: """
          CREATE FUNCTION prune() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            DELETE FROM millrace.jobs WHERE finish_time IS NOT NULL;
            RETURN NULL;
          END $$;
          CREATE TRIGGER prune AFTER INSERT ON millrace.jobs
          FOR EACH STATEMENT EXECUTE FUNCTION prune();
          """)
      await connection.close()
      let submissions = [test.submission("name"), test.submission(), test.submission("other")]
      let results = try await store.submit(submissions)
      #expect(results.map(\.job.id) == submissions.map(\.id))
      #expect(results.allSatisfy { $0.isNew })
      let again = try await store.submit([test.submission("name")])
      #expect(again.map(\.job.id) == [submissions[0].id])
      #expect(!again[0].isNew)
    }
  }

  @Test("old jobs go by themselves, and by the database's clock")
  func retention() async throws {
    let database = try await MigratedDatabases.shared.make()
    try await withPostgresStore(
      database, maintenanceInterval: .milliseconds(20), retention: .seconds(3_600)
    ) { store in
      let test = StoreUnderTest(store: store, clock: TestClock())
      let (_, lease) = try await test.running()
      _ = try await test.write(lease, from: 0, [1, 2], end: .succeeded(.stop))
      let kept = try await test.submit()
      _ = try await store.cancel(kept, tenant: nil)
      let connection = try await connect(database)
      try await connection.query(
        "UPDATE millrace.jobs SET finish_time = finish_time - interval '1 hour' WHERE id = $1",
        lease.job.uuid)
      while try await store.job(lease.job, tenant: nil) != nil {}
      let chunks = try await connection.query("SELECT FROM millrace.output_chunks")
      #expect(chunks.isEmpty)
      #expect(try await test.job(kept).state == .cancelled)
      await connection.close()
    }
  }
}
