public import JobQueue
public import Logging
public import Postgres

/// Brings a database's schema to this build's version.
///
/// Each migration is one transaction, together with its entry in `millrace.migrations`; or, where
/// it says so, its statements run one by one. Several processes may start at once: an advisory lock
/// lets one work while the others wait. A history that differs from this build's, or is longer, is
/// refused: a database is never taken back.
public struct Migrator: Sendable {
  /// What a database has and lacks.
  public struct Status: Hashable, Sendable {
    public struct Applied: Hashable, Sendable {
      public var number: Int32
      public var name: String
      public var checksum: String
      public var applyTime: Timestamp
    }

    public var applied: [Applied]
    public var pending: [Migration]
  }

  /// The key of the advisory lock, known to no one else: "millrace" in ASCII.
  static let lockKey: Int64 = 0x6d69_6c6c_7261_6365

  private static let lockPause = Duration.milliseconds(100)

  /// The longest pause before a migration asks for a table's lock again.
  private static let longestLockPause = Duration.seconds(5)

  /// How often it is said what a statement waits for.
  package static let defaultReportInterval = Duration.seconds(10)

  private let migrations: [Migration]
  private let reportInterval: Duration
  private let logger: Logger

  public init(logger: Logger) {
    self.init(migrations: Migration.all, logger: logger)
  }

  package init(
    migrations: [Migration], reportInterval: Duration = defaultReportInterval, logger: Logger
  ) {
    self.migrations = migrations
    self.reportInterval = reportInterval
    self.logger = logger
  }

  /// What is applied and what is pending, without changing anything.
  /// - Throws: `JobStoreError`, `.invalid` when the database's history is not this build's.
  public func status(on connection: Connection) async throws(JobStoreError) -> Status {
    try await mapping {
      let applied = try await history(on: connection)
      return Status(applied: applied, pending: try pending(after: applied))
    }
  }

  /// Applies what is pending.
  ///
  /// - Parameters:
  ///   - connection: the one on which it is done.
  ///   - observer: how to make a second connection, on which it is found out for whom a migration
  ///     waits (an index that is built concurrently waits for every older transaction), to be
  ///     logged from time to time; `nil` logs nothing of it.
  /// - Returns: the migrations that were applied, by this call.
  @discardableResult
  public func migrate(
    on connection: Connection, observedWith observer: ConnectionConfiguration? = nil
  ) async throws(JobStoreError) -> [Migration] {
    try await mapping {
      guard let observer else { return try await migrateAlone(on: connection) }
      let processID = await connection.serverProcessID
      return try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask {
          let waits = MigrationWaits(
            processID: processID, configuration: observer, interval: reportInterval,
            logger: logger)
          await waits.report()
        }
        defer { group.cancelAll() }
        return try await migrateAlone(on: connection)
      }
    }
  }

  private func migrateAlone(on connection: Connection) async throws -> [Migration] {
    try await takeLock(on: connection)
    let outcome: Result<[Migration], any Error>
    do { outcome = .success(try await applyPending(on: connection)) } catch {
      outcome = .failure(error)
    }
    // Ending the session gives the lock back too; a failure here hides nothing.
    _ = try? await connection.query("SELECT pg_advisory_unlock($1)", Self.lockKey)
    return try outcome.get()
  }

  /// Takes the lock by asking again and again. A statement that waits for it would hold a snapshot,
  /// and an index that is built concurrently waits for all snapshots: the two would wait for each
  /// other.
  private func takeLock(on connection: Connection) async throws {
    var nextReport = ContinuousClock.now
    while true {
      let row = try await connection.query(
        "SELECT pg_try_advisory_lock($1) AS taken", Self.lockKey
      ).first
      if try row?.decode("taken", as: Bool.self) == true { return }
      if ContinuousClock.now >= nextReport {
        logger.info("another process migrates the database; waiting for it")
        nextReport = .now + reportInterval
      }
      try await Task.sleep(for: Self.lockPause)
    }
  }

  private func applyPending(on connection: Connection) async throws -> [Migration] {
    try await connection.execute(script: Self.bookkeeping)
    let pending = try pending(after: try await history(on: connection))
    for migration in pending {
      logger.info("applying migration \(migration.number) \(migration.name)")
      guard migration.isTransaction else {
        for statement in migration.statements {
          try await dropInvalidIndex(of: statement, on: connection)
          try await connection.execute(script: statement)
        }
        try await record(migration, on: connection)
        continue
      }
      try await applyWhole(migration, on: connection)
    }
    return pending
  }

  /// Applies a migration that is a transaction. One that limits how long it waits for a lock is
  /// tried again, until those who hold it are done. Whoever wants the same table waits behind it while
  /// it asks, so it asks less and less often.
  private func applyWhole(_ migration: Migration, on connection: Connection) async throws {
    var nextReport = ContinuousClock.now
    var pause = Self.lockPause
    while true {
      do {
        return try await connection.transaction { connection in
          try await connection.execute(script: migration.sql)
          try await record(migration, on: connection)
        }
      } catch let error as PostgresError where error.sqlState == .lockNotAvailable {
        if ContinuousClock.now >= nextReport {
          logger.info(
            "migration \(migration.number) waits for transactions that use the same tables")
          nextReport = .now + reportInterval
        }
        try await Task.sleep(for: pause)
        pause = min(pause * 2, Self.longestLockPause)
      }
    }
  }

  /// Drops what an interrupted build of the same index left. A valid index stays, and in use.
  private func dropInvalidIndex(of statement: String, on connection: Connection) async throws {
    guard let index = Migration.indexBuilt(by: statement) else { return }
    let invalid = try await connection.query(
      """
      SELECT c.oid::regclass::text AS name
      FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid
      WHERE c.relnamespace = 'millrace'::regnamespace AND c.relname = $1 AND NOT i.indisvalid
      """, index)
    for row in invalid {
      let name: String = try row.decode("name")
      logger.info("dropping the index \(name), which was left half-built")
      try await connection.execute(script: "DROP INDEX CONCURRENTLY \(name)")
    }
  }

  private func record(_ migration: Migration, on connection: Connection) async throws {
    try await connection.query(
      """
      INSERT INTO millrace.migrations (number, name, checksum, apply_time)
      VALUES ($1, $2, $3, clock_timestamp())
      """, migration.number, migration.name, migration.checksum)
  }

  /// The history's own table, older than the first migration.
  private static let bookkeeping = """
    SET client_min_messages = warning;
    CREATE SCHEMA IF NOT EXISTS millrace;
    CREATE TABLE IF NOT EXISTS millrace.migrations (
      number     integer     PRIMARY KEY,
      name       text        NOT NULL,
      checksum   text        NOT NULL,
      apply_time timestamptz NOT NULL
    );
    RESET client_min_messages;
    """

  private func history(on connection: Connection) async throws -> [Status.Applied] {
    let exists = try await connection.query(
      "SELECT to_regclass('millrace.migrations') IS NOT NULL")
    guard try exists.first?.decode(0, as: Bool.self) == true else { return [] }
    return try await connection.query(
      "SELECT number, name, checksum, apply_time FROM millrace.migrations ORDER BY number"
    ).map { row in
      Status.Applied(
        number: try row.decode("number"), name: try row.decode("name"),
        checksum: try row.decode("checksum"), applyTime: try row.decode("apply_time"))
    }
  }

  private func pending(after applied: [Status.Applied]) throws -> [Migration] {
    if applied.count > migrations.count {
      throw JobStoreError(
        code: .invalid,
        message: "the database's schema has \(applied.count) migrations and this program knows "
          + "\(migrations.count): it is newer; use the program that made it, or a later one")
    }
    for (known, stored) in zip(migrations, applied)
    where known.number != stored.number || known.checksum != stored.checksum {
      throw JobStoreError(
        code: .invalid,
        message: "migration \(stored.number) (\(stored.name)) of the database is not the one "
          + "this program knows; use the program that made the database, or a fresh database")
    }
    return Array(migrations.dropFirst(applied.count))
  }

  private func mapping<Value: Sendable>(
    _ body: () async throws -> Value
  ) async throws(JobStoreError) -> Value {
    do { return try await body() } catch { throw JobStoreError(mapping: error) }
  }
}
