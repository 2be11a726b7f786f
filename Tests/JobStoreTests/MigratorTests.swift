import Foundation
import JobQueue
import JobStorePostgres
import Postgres
import TestDatabase
import Testing

@Suite(.serialized) struct MigratorTests {
  private func connect(_ database: String) async throws -> Connection {
    try await Connection.connect(
      ConnectionConfiguration(
        connectionString: try await TestServer.shared.connectionString(of: database)),
      logger: TestServer.logger)
  }

  private func migrator(_ migrations: [Migration] = Migration.all) -> Migrator {
    Migrator(migrations: migrations, logger: TestServer.logger)
  }

  private static let second = Migration(
    number: Int32(Migration.all.count + 1), name: "more",
    sql: "CREATE TABLE millrace.more (id integer PRIMARY KEY);")

  @Test("a fresh database is brought up to date once")
  func fresh() async throws {
    let connection = try await connect(try await TestServer.shared.makeDatabase())
    let before = try await migrator().status(on: connection)
    #expect(before.applied.isEmpty)
    #expect(before.pending == Migration.all)
    #expect(try await migrator().migrate(on: connection) == Migration.all)
    #expect(try await migrator().migrate(on: connection).isEmpty)
    let after = try await migrator().status(on: connection)
    #expect(after.pending.isEmpty)
    #expect(after.applied.map(\.checksum) == Migration.all.map(\.checksum))
    #expect(try await migrator(Migration.all + [Self.second]).migrate(on: connection).count == 1)
  }

  @Test("many migrators at once apply each migration once")
  func concurrent() async throws {
    let database = try await TestServer.shared.makeDatabase()
    let applied = try await withThrowingTaskGroup(of: Int.self) { group in
      for _ in 0..<6 {
        group.addTask {
          let connection = try await connect(database)
          return try await migrator().migrate(on: connection).count
        }
      }
      return try await group.reduce(0, +)
    }
    #expect(applied == Migration.all.count)
  }

  private static let index = Migration(
    number: second.number + 1, name: "index",
    sql: """
      -- migrate: no transaction
      -- A comment; with a semicolon;
      DROP INDEX CONCURRENTLY IF EXISTS millrace.more_index;
      CREATE INDEX CONCURRENTLY more_index
        ON millrace.more (id);
      """)

  @Test("statements that allow no transaction run one by one, with many migrators waiting")
  func noTransaction() async throws {
    let database = try await TestServer.shared.makeDatabase()
    let migrations = Migration.all + [Self.second, Self.index]
    let applied = try await withThrowingTaskGroup(of: Int.self) { group in
      for _ in 0..<4 {
        group.addTask {
          let connection = try await connect(database)
          return try await migrator(migrations).migrate(on: connection).count
        }
      }
      return try await group.reduce(0, +)
    }
    #expect(applied == migrations.count)
    let connection = try await connect(database)
    let valid = try await connection.query(
      "SELECT indisvalid FROM pg_index WHERE indexrelid = 'millrace.more_index'::regclass")
    #expect(try valid.map { try $0.decode(0, as: Bool.self) } == [true])
  }

  @Test("a migration without a transaction that was interrupted is run again")
  func interrupted() async throws {
    let connection = try await connect(try await TestServer.shared.makeDatabase())
    var broken = Self.index
    broken.sql += "\nSELECT 1 / 0;"
    let failing = migrator(Migration.all + [Self.second, broken])
    await #expect(throws: JobStoreError.self) { try await failing.migrate(on: connection) }
    let built = try await connection.query("SELECT 'millrace.more_index'::regclass")
    #expect(built.count == 1)
    let repaired = migrator(Migration.all + [Self.second, Self.index])
    #expect(try await repaired.migrate(on: connection) == [Self.index])
  }

  @Test("an altered history is refused")
  func altered() async throws {
    let connection = try await connect(try await TestServer.shared.makeDatabase())
    try await migrator().migrate(on: connection)
    var altered = Migration.all
    altered[0].sql += "-- changed\n"
    let migrator = migrator(altered + [Self.second])
    await #expect {
      try await migrator.migrate(on: connection)
    } throws: { ($0 as? JobStoreError)?.code == .invalid }
    let table = try await connection.query("SELECT to_regclass('millrace.more') IS NULL")
    #expect(try table.first?.decode(0, as: Bool.self) == true)
  }

  @Test("a database newer than the program is refused")
  func newer() async throws {
    let database = try await TestServer.shared.makeDatabase()
    let connection = try await connect(database)
    try await migrator(Migration.all + [Self.second]).migrate(on: connection)
    await #expect {
      try await migrator().migrate(on: connection)
    } throws: { ($0 as? JobStoreError)?.code == .invalid }
    await #expect {
      try await PostgresJobStore.open(
        connectionString: try await TestServer.shared.connectionString(of: database),
        logger: TestServer.logger)
    } throws: { ($0 as? JobStoreError)?.code == .invalid }
  }

  @Test("a migration that fails leaves nothing behind and can be repeated")
  func failing() async throws {
    let connection = try await connect(try await TestServer.shared.makeDatabase())
    var broken = Self.second
    broken.sql += "SELECT 1 / 0;"
    let failing = migrator(Migration.all + [broken])
    await #expect(throws: JobStoreError.self) { try await failing.migrate(on: connection) }
    let repaired = migrator(Migration.all + [Self.second])
    #expect(try await repaired.status(on: connection).pending == [Self.second])
    #expect(try await repaired.migrate(on: connection) == [Self.second])
  }

  @Test("a store that may not migrate refuses a schema that is behind")
  func behind() async throws {
    let database = try await TestServer.shared.makeDatabase()
    let configuration = PostgresJobStoreConfiguration(migratesSchema: false)
    await #expect {
      try await PostgresJobStore.open(
        connectionString: try await TestServer.shared.connectionString(of: database),
        configuration: configuration, logger: TestServer.logger)
    } throws: { ($0 as? JobStoreError)?.code == .invalid }
  }
}
