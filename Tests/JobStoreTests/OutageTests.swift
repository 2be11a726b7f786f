import Foundation
import JobQueue
import JobStorePostgres
import Postgres
import TestDatabase
import Testing

/// Leases that ran out while nobody could renew them.
@Suite(.serialized) struct OutageTests {
  private func connect(_ database: String) async throws -> Connection {
    try await Connection.connect(
      ConnectionConfiguration(connectionString: database), logger: TestServer.logger)
  }

  @Test("a lease that ran out while the server was down is not taken before it can be renewed")
  func serverDown() async throws {
    let database = try await MigratedDatabases.shared.make()
    try await withPostgresStore(database) { store in
      let test = StoreUnderTest(store: store, clock: TestClock())
      let executor = ExecutorDescription(
        id: ExecutorID(), host: "h", processID: 1, models: ["model"], slots: 1)
      // Longer than the server has been up.
      let day = Duration.seconds(86_400)
      try await store.register(executor, leaseDuration: day)
      _ = try await store.submit([test.submission()])
      let lease = try #require(try await test.claim(executor.id).first?.lease)
      let connection = try await connect(database)
      let lapse = """
        UPDATE millrace.executors SET
          heartbeat_time = now() - $1 * interval '2 second',
          expire_time = now() - $1 * interval '1 second'
        """
      try await connection.query(Statement(lapse, Int64(86_400)))
      #expect(try await store.rescue(limit: 9).isEmpty)
      #expect(try await store.executors().count == 1)
      let beat = try await store.heartbeat(executor.id, leases: [lease], leaseDuration: day)
      #expect(beat.held == [lease])
      #expect(try await test.write(lease, from: 0, [1]) == .written)
      // A lease of no time could have been renewed: the server has been up for longer.
      try await connection.query(Statement(lapse, Int64(0)))
      #expect(try await store.rescue(limit: 9).map(\.id) == [lease.job])
      #expect(try await store.executors().isEmpty)
      await connection.close()
    }
  }

  @Test("who has just come back to the database takes no leases that others could not renew")
  func reach() async throws {
    let database = try await MigratedDatabases.shared.make()
    let clock = TestClock()
    try await withPostgresStore(database, now: { clock.now }) { store in
      let test = StoreUnderTest(store: store, clock: clock)
      let (_, lease) = try await test.running()
      clock.advance(by: StoreUnderTest.leaseDuration + .seconds(60))
      let connection = try await connect(database)
      let early = Statement.rescue(
        limit: 9, reach: StoreUnderTest.leaseDuration - .seconds(1), now: clock.now)
      #expect(try await connection.query(early).isEmpty)
      #expect(try await test.job(lease.job).state == .running)
      let late = Statement.rescue(limit: 9, reach: StoreUnderTest.leaseDuration, now: clock.now)
      #expect(try await connection.query(late).count == 1)
      #expect(try await test.job(lease.job).state == .queued)
      await connection.close()
    }
  }

  @Test("the database is reached for as long as it is looked at without failures and breaks")
  func reachability() {
    let start = ContinuousClock.now
    var reachability = Reachability(interval: .seconds(1))
    func look(_ seconds: Int) -> Duration { reachability.look(at: start + .seconds(seconds)) }
    #expect(look(0) == .zero)
    #expect(look(1) == .seconds(1))
    #expect(look(7) == .seconds(7))
    // The machine slept.
    #expect(look(14) == .zero)
    #expect(look(16) == .seconds(2))
    reachability.fail()
    #expect(look(17) == .zero)
    #expect(look(18) == .seconds(1))
  }
}
