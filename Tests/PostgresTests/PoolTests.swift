import Foundation
import Postgres
import TestDatabase
import Testing

@Suite(.serialized) struct PoolTests {
  private func withPool(
    _ configuration: PoolConfiguration,
    _ body: @escaping @Sendable (ConnectionPool) async throws -> Void
  ) async throws {
    try await ConnectionPool.withPool(
      connection: try await freshDatabase(), configuration: configuration,
      logger: TestServer.logger, body)
  }

  private struct Usage {
    var now = 0
    var most = 0
    var sessions: Set<Int32> = []
  }

  @Test("no more than the maximum is lent at once, and everybody gets a turn")
  func limits() async throws {
    try await withPool(PoolConfiguration(maxConnections: 3)) { pool in
      let usage = Shared(Usage())
      try await withThrowingTaskGroup(of: Void.self) { group in
        for _ in 0..<60 {
          group.addTask {
            try await pool.withConnection { connection in
              let processID = await connection.serverProcessID
              usage.update { usage in
                usage.now += 1
                usage.most = max(usage.most, usage.now)
                usage.sessions.insert(processID)
              }
              try await connection.query("SELECT 1")
              usage.update { $0.now -= 1 }
            }
          }
        }
        try await group.waitForAll()
      }
      #expect(usage.value.most <= 3)
      #expect(usage.value.sessions.count <= 3)
    }
  }

  @Test(
    "whoever waits too long, or is one too many, is told so",
    arguments: [(1_000, PostgresError.Code.timedOut), (0, PostgresError.Code.exhausted)])
  func waiting(maxWaiters: Int, expected: PostgresError.Code) async throws {
    let configuration = PoolConfiguration(
      minConnections: 1, maxConnections: 1, maxWaiters: maxWaiters,
      waitTimeout: .milliseconds(50))
    try await withPool(configuration) { pool in
      var isDone = false
      while !isDone {
        do {
          try await pool.withConnection { connection in
            await #expect {
              try await pool.withConnection { _ in }
            } throws: { ($0 as? PostgresError)?.code == expected }
            try await connection.query("SELECT 1")
          }
          isDone = true
        } catch let error as PostgresError where error.code == expected {
          continue  // the pool's connection is not open yet
        }
      }
    }
  }

  @Test("a cancelled waiter leaves, and a cancelled user gives its connection back")
  func cancellation() async throws {
    try await withPool(PoolConfiguration(maxConnections: 1, waitTimeout: .seconds(600))) { pool in
      let (started, start) = AsyncStream<Void>.makeStream()
      let user = Task {
        try await pool.withConnection { connection in
          start.yield()
          try await connection.query("SELECT pg_sleep(600)")
        }
      }
      for await _ in started { break }
      let waiter = Task { try await pool.withConnection { _ in } }
      waiter.cancel()
      await #expect {
        try await waiter.value
      } throws: { ($0 as? PostgresError)?.code == .cancelled }
      user.cancel()
      await #expect(throws: PostgresError.self) { try await user.value }
      try await withLimit {
        try await pool.withConnection { _ = try await $0.query("SELECT 1") }
      }
    }
  }

  @Test("connections that died while idle, or that were left in a transaction, are not lent again")
  func broken() async throws {
    try await withPool(PoolConfiguration(minConnections: 0, maxConnections: 4)) { pool in
      let observer = try await connect()
      let first = try await pool.withConnection { await $0.serverProcessID }
      try await observer.query("SELECT pg_terminate_backend($1)", first)
      while try await !observer.query(
        "SELECT FROM pg_stat_activity WHERE pid = $1", first
      ).isEmpty {}
      let second = try await pool.withConnection { connection in
        try await connection.query("BEGIN")
        return await connection.serverProcessID
      }
      #expect(second != first)
      let third = try await pool.withConnection { await $0.serverProcessID }
      #expect(third != second)
      await observer.close()
    }
  }

  @Test("a pool without a server fails fast and says why")
  func unavailable() async throws {
    let nowhere = ConnectionConfiguration(connectionString: "host=/nonexistent")
    try await ConnectionPool.withPool(connection: nowhere, logger: TestServer.logger) { pool in
      await #expect {
        try await pool.withConnection { _ in }
      } throws: { ($0 as? PostgresError)?.code == .cannotConnect }
    }
  }

  @Test("a pool that was shut down refuses, and has left no session behind")
  func shutDown() async throws {
    let database = try await freshDatabase()
    let observer = try await Connection.connect(database, logger: TestServer.logger)
    let pool = try await ConnectionPool.withPool(
      connection: database, configuration: PoolConfiguration(minConnections: 3),
      logger: TestServer.logger
    ) { pool in
      try await pool.withConnection { _ = try await $0.query("SELECT 1") }
      return pool
    }
    await #expect {
      try await pool.withConnection { _ in }
    } throws: { ($0 as? PostgresError)?.code == .closed }
    let others = """
      SELECT FROM pg_stat_activity
      WHERE datname = current_database() AND pid <> pg_backend_pid()
      """
    try await withLimit { while try await !observer.query(others).isEmpty {} }
    await observer.close()
  }
}
