import Foundation
import JobQueue
import JobStorePostgres
import Logging
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
      CREATE INDEX CONCURRENTLY IF NOT EXISTS more_index
        ON millrace.more (id);
      CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS more_key
        ON millrace.more ((id / 2));
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
    try await migrator(Migration.all + [Self.second]).migrate(on: connection)
    // The second index cannot be built: it stays behind, and is not valid.
    try await connection.query("INSERT INTO millrace.more VALUES (2), (3)")
    let migrator = migrator(Migration.all + [Self.second, Self.index])
    await #expect(throws: JobStoreError.self) { try await migrator.migrate(on: connection) }
    let broken = try await indexes(on: connection)
    #expect(broken.map(\.isValid) == [true, false])
    await #expect(throws: JobStoreError.self) { try await migrator.migrate(on: connection) }
    try await connection.query("DELETE FROM millrace.more")
    #expect(try await migrator.migrate(on: connection) == [Self.index])
    let repaired = try await indexes(on: connection)
    #expect(repaired.map(\.isValid) == [true, true])
    // What was finished the first time stayed in use.
    #expect(repaired.first?.file == broken.first?.file)
  }

  private struct Index: Equatable {
    var isValid: Bool
    var file: Int64
  }

  private func indexes(on connection: Connection) async throws -> [Index] {
    try await connection.query(
      """
      SELECT i.indisvalid, c.oid::bigint AS file FROM pg_index AS i
      JOIN pg_class AS c ON c.oid = i.indexrelid
      WHERE c.relname IN ('more_index', 'more_key') ORDER BY c.relname
      """
    ).map { Index(isValid: try $0.decode("indisvalid"), file: try $0.decode("file")) }
  }

  @Test("a migration that waits says for whom")
  func waits() async throws {
    let database = try await TestServer.shared.makeDatabase()
    let connection = try await connect(database)
    try await migrator(Migration.all + [Self.second]).migrate(on: connection)
    let holder = try await connect(database)
    try await holder.query("BEGIN ISOLATION LEVEL REPEATABLE READ")
    try await holder.query("SELECT count(*) FROM millrace.more")
    let (lines, input) = AsyncStream.makeStream(of: String.self)
    let logger = Logger(label: "migrator") { _ in LineCollector(input: input) }
    let migrator = Migrator(
      migrations: Migration.all + [Self.second, Self.index], reportInterval: .milliseconds(20),
      logger: logger)
    let configuration = ConnectionConfiguration(
      connectionString: try await TestServer.shared.connectionString(of: database))
    async let applied = migrator.migrate(on: connection, observedWith: configuration)
    let process = await holder.serverProcessID
    for await line in lines where line.contains("waits") {
      #expect(line.contains("\(process)"))
      break
    }
    try await holder.query("COMMIT")
    #expect(try await applied == [Self.index])
  }

  @Test("a migration that may not wait long for a lock is tried again until it gets it")
  func lockTimeout() async throws {
    let database = try await TestServer.shared.makeDatabase()
    let connection = try await connect(database)
    try await migrator(Migration.all + [Self.second]).migrate(on: connection)
    let holder = try await connect(database)
    try await holder.query("BEGIN")
    try await holder.query("SELECT count(*) FROM millrace.more")
    let (lines, input) = AsyncStream.makeStream(of: String.self)
    let column = Migration(
      number: Self.second.number + 1, name: "column",
      sql: """
        SET LOCAL lock_timeout = '20ms';
        ALTER TABLE millrace.more ADD COLUMN name text;
        """)
    let migrator = Migrator(
      migrations: Migration.all + [Self.second, column], reportInterval: .milliseconds(20),
      logger: Logger(label: "migrator") { _ in LineCollector(input: input) })
    async let applied = migrator.migrate(on: connection)
    for await line in lines where line.contains("waits for transactions") { break }
    // Others still get at the table.
    let other = try await connect(database)
    #expect(try await other.query("SELECT FROM millrace.more").isEmpty)
    try await holder.query("COMMIT")
    #expect(try await applied == [column])
  }

  @Test("a reader of the output does not keep executors waiting while a migration waits for it")
  func reader() async throws {
    let database = try await TestServer.shared.makeDatabase()
    let connection = try await connect(database)
    try await migrator(Array(Migration.all.prefix(2))).migrate(on: connection)
    let reader = try await connect(database)
    try await reader.query("BEGIN")
    try await reader.query("SELECT count(*) FROM millrace.output_chunks")
    let (lines, input) = AsyncStream.makeStream(of: String.self)
    let migrator = Migrator(
      migrations: Migration.all, reportInterval: .milliseconds(20),
      logger: Logger(label: "migrator") { _ in LineCollector(input: input) })
    async let applied = migrator.migrate(on: connection)
    for await line in lines where line.contains("waits for transactions") { break }
    // The executors have got theirs, and nobody holds their table.
    let other = try await connect(database)
    try await other.query("BEGIN")
    try await other.query("LOCK TABLE millrace.executors IN ACCESS EXCLUSIVE MODE NOWAIT")
    #expect(try await other.query("SELECT process_start FROM millrace.executors").isEmpty)
    try await other.query("COMMIT")
    try await reader.query("COMMIT")
    #expect(try await applied == Array(Migration.all.dropFirst(2)))
  }

  @Test("a database whose encoding cannot hold every text is refused")
  func encoding() async throws {
    let administrator = try await Connection.connect(
      ConnectionConfiguration(connectionString: try await TestServer.shared.connectionString()),
      logger: TestServer.logger)
    try await administrator.execute(
      script: """
        CREATE DATABASE narrow ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0
        """)
    await #expect {
      try await PostgresJobStore.open(
        connectionString: try await TestServer.shared.connectionString(of: "narrow"),
        logger: TestServer.logger)
    } throws: { error in
      let error = error as? JobStoreError
      return error?.code == .invalid && error?.message.contains("UTF8") == true
    }
    await administrator.close()
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

/// Passes the lines of a log on.
private struct LineCollector: LogHandler {
  var input: AsyncStream<String>.Continuation
  var metadata: Logger.Metadata = [:]
  var logLevel = Logger.Level.info

  init(input: AsyncStream<String>.Continuation) {
    self.input = input
  }

  subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  func log(event: LogEvent) {
    input.yield("\(event.message) \(event.metadata ?? [:])")
  }
}
