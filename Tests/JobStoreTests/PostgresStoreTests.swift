import Foundation
import JobQueue
import JobStorePostgres
import Logging
import Postgres
import TestDatabase
import Testing

@Suite(.serialized, .timeLimit(.minutes(5))) struct PostgresStoreTests {
  @Test("signals reach other processes' stores")
  func remoteSignals() async throws {
    let database = try await MigratedDatabases.shared.make()
    let clock = TestClock()
    try await withPostgresStore(database, now: { clock.now }) { here in
      try await withPostgresStore(database, now: { clock.now }) { there in
        let test = StoreUnderTest(store: here, clock: clock)
        try await Self.waitForListeners(2, database)
        var signals = there.signals()
        let executor = try await test.executor()
        let id = try await test.submit()
        try await waitForSignal(signals) { $0 == .ready }
        signals = there.signals()
        let lease = try #require(try await test.claim(executor).first?.lease)
        try await waitForSignal(signals) { $0 == .progressed(id, nil) }
        // The chunk stays here; there one looks at the store.
        signals = there.signals()
        _ = try await test.write(lease, from: 0, [1])
        try await waitForSignal(signals) { $0 == .progressed(id, nil) }
        signals = there.signals()
        _ = try await here.cancel(id, tenant: nil)
        try await waitForSignal(signals) { $0 == .revoked(id) }
      }
    }
  }

  /// Waits until so many sessions of the database listen.
  private static func waitForListeners(_ count: Int, _ connectionString: String) async throws {
    let connection = try await Connection.connect(
      ConnectionConfiguration(connectionString: connectionString), logger: TestServer.logger)
    var found = 0
    while found < count {
      found = try await connection.query(
        "SELECT FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'"
      ).count
    }
    await connection.close()
  }

  @Test("maintenance runs by itself, by the database's clock")
  func maintenance() async throws {
    let database = try await MigratedDatabases.shared.make()
    try await withPostgresStore(database, maintenanceInterval: .milliseconds(20)) { store in
      let test = StoreUnderTest(store: store, clock: TestClock())
      let executor = ExecutorDescription(
        id: ExecutorID(), host: "h", processID: 1, models: ["model"], slots: 1)
      try await store.register(executor, leaseDuration: .seconds(600))
      let submission = test.submission()
      _ = try await store.submit([submission])
      let signals = store.signals()
      #expect(try await test.claim(executor.id).count == 1)
      try await store.register(executor, leaseDuration: .zero)
      try await waitForSignal(signals) { $0 == .revoked(submission.id) }
      #expect(try await test.job(submission.id).state == .queued)
    }
  }

  @Test("a claim tells how long ago it was, by the database's clock")
  func claimAge() async throws {
    let database = try await MigratedDatabases.shared.make()
    let connection = try await Connection.connect(
      ConnectionConfiguration(connectionString: database), logger: TestServer.logger)
    try await withPostgresStore(database) { store in
      let test = StoreUnderTest(store: store, clock: TestClock())
      let executor = ExecutorDescription(
        id: ExecutorID(), host: "h", processID: 1, models: ["model"], slots: 1)
      try await store.register(executor, leaseDuration: .seconds(600))
      _ = try await store.submit([test.submission()])
      // So that most of the age is what the database tells.
      _ = try await connection.query(
        """
        CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN PERFORM pg_sleep(0.2); RETURN NEW; END'
        """)
      _ = try await connection.query(
        "CREATE TRIGGER slow BEFORE UPDATE ON millrace.jobs FOR EACH ROW EXECUTE FUNCTION slow()")
      let start = ContinuousClock.now
      let claimed = try await store.claim(ClaimRequest(executor: executor.id, room: ["model": 1]))
      let end = ContinuousClock.now
      let rows = try await connection.query(
        """
        SELECT (extract(epoch FROM clock_timestamp() - claim_time) * 1000000)::bigint AS age
        FROM millrace.jobs
        """)
      let later = Duration.microseconds(try #require(rows.first).decode("age", as: Int64.self))
      #expect(claimed.jobs.count == 1)
      #expect(claimed.age >= .milliseconds(200) && claimed.age < start.duration(to: end))
      // What the database told is at most a moment older than what it tells now.
      #expect(later > claimed.age - .milliseconds(1))
      #expect(later - claimed.age < start.duration(to: .now))
    }
    await connection.close()
  }

  @Test("a store lives through the death of its database")
  func restart() async throws {
    let path =
      FileManager.default.temporaryDirectory.path + "/millrace-restart-\(getpid())"
    defer { try? FileManager.default.removeItem(atPath: path) }
    let server = try PrivateServer(
      dataDirectory: path, options: PrivateServerOptions(isDurable: false),
      logger: TestServer.logger)
    let connectionString = try await server.start()
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try await server.run() }
      try await withPostgresStore(connectionString) { store in
        let test = StoreUnderTest(store: store, clock: TestClock())
        let signals = store.signals()
        let executor = try await test.executor()
        let before = try await test.submit()
        let lease = try #require(try await test.claim(executor).first?.lease)
        #expect(try await test.write(lease, from: 0, [1]) == .written)
        let first = try #require(server.processID)
        kill(first, SIGKILL)
        // Sessions outlive the server for a moment, so some writes may still succeed at once.
        var next = 1
        var isRestarted = false
        while !isRestarted {
          let index = next
          let result = try await Self.untilAvailable {
            try await test.write(lease, from: index, [Int32(index + 1)])
          }
          #expect(result == .written)
          next += 1
          isRestarted = server.processID != nil && server.processID != first
        }
        let tokens = try await Self.untilAvailable { try await test.tokens(before) }
        #expect(tokens == (1...Int32(next)).map { $0 })
        try await waitForSignal(signals) { $0 == .interrupted }
      }
      group.cancelAll()
      try await group.waitForAll()
    }
    #expect(server.processID == nil)
  }

  /// Makes a call again and again while the store says that it is unavailable, and nothing else.
  private static func untilAvailable<Value: Sendable>(
    _ call: () async throws -> Value
  ) async throws -> Value {
    while true {
      do {
        return try await call()
      } catch let error as JobStoreError where error.code == .unavailable {
        continue
      }
    }
  }

  @Test("a database that cannot be reached is an error that says so")
  func unreachable() async throws {
    await #expect {
      try await PostgresJobStore.open(
        connectionString: "host=/nonexistent dbname=none", logger: TestServer.logger)
    } throws: { ($0 as? JobStoreError)?.code == .unavailable }
  }

  @Test("reports read one row per token and one row per job")
  func views() async throws {
    let database = try await MigratedDatabases.shared.make()
    let clock = TestClock()
    try await withPostgresStore(database, now: { clock.now }) { store in
      let test = StoreUnderTest(store: store, clock: clock)
      let executor = try await test.executor()
      let id = try await test.submit()
      clock.advance(by: .seconds(2))
      let lease = try #require(try await test.claim(executor).first?.lease)
      clock.advance(by: .seconds(1))
      var write = StoreUnderTest.write(lease, from: 0, [7, 8])
      write.chunk?.logprobs = [TokenLogprobs(logprob: -1), TokenLogprobs(logprob: -2)]
      _ = try await store.write([write])
      clock.advance(by: .seconds(1))
      _ = try await test.write(lease, from: 2, [9], end: .succeeded(.stop))

      let connection = try await Connection.connect(
        ConnectionConfiguration(connectionString: database), logger: TestServer.logger)
      let tokens = try await connection.query(
        """
        SELECT token_index, token_id, piece, logprob,
          extract(epoch FROM engine_time - j.claim_time)::float8 AS offset
        FROM millrace.tokens AS t JOIN millrace.jobs AS j ON j.id = t.job_id
        WHERE t.job_id = $1 ORDER BY token_index
        """, id.uuid)
      #expect(try tokens.map { try $0.decode("token_index", as: Int64.self) } == [0, 1, 2])
      #expect(try tokens.map { try $0.decode("token_id", as: Int32.self) } == [7, 8, 9])
      #expect(try tokens.map { try $0.decode("piece", as: String.self) } == [" t7", " t8", " t9"])
      #expect(try tokens.map { try $0.decode("logprob", as: Float?.self) } == [-1, -2, nil])
      #expect(try tokens.map { try $0.decode("offset", as: Double.self) } == [0, 0.001, 0.002])
      let report = try #require(
        try await connection.query("SELECT * FROM millrace.job_report WHERE id = $1", id.uuid).first
      )
      #expect(try report.decode("queue_seconds", as: Double.self) == 2)
      #expect(try report.decode("time_to_first_token_seconds", as: Double.self) == 3)
      #expect(try report.decode("total_seconds", as: Double.self) == 4)
      #expect(try report.decode("tokens_per_second", as: Double.self) == 2)
      await connection.close()
    }
  }

  @Test("the running store's updates touch no index")
  func hotUpdates() async throws {
    let database = try await MigratedDatabases.shared.make()
    let clock = TestClock()
    try await withPostgresStore(database, now: { clock.now }) { store in
      let test = StoreUnderTest(store: store, clock: clock)
      let (_, lease) = try await test.running()
      for index in 0..<50 { _ = try await test.write(lease, from: index, [1]) }
    }
    let connection = try await Connection.connect(
      ConnectionConfiguration(connectionString: database), logger: TestServer.logger)
    // The statistics of a session arrive when it ends, soon after its end is seen here.
    var updates: Int64 = 0
    var hot: Int64 = 0
    while updates < 51 {
      let row = try #require(
        try await connection.query(
          "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'jobs'"
        ).first)
      updates = try row.decode("n_tup_upd")
      hot = try row.decode("n_tup_hot_upd")
    }
    #expect(hot >= 45)
    await connection.close()
  }
}
