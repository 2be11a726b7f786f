public import JobQueue
public import Logging
import Postgres
public import ServiceLifecycle
import Synchronization

/// The queue in a PostgreSQL database, shared by any number of processes.
///
/// `run()` holds the store's long-lived parts (connections, listener, notifier, maintenance) and
/// must be running while the store is used. While the database is away every call fails with
/// `.unavailable` within some seconds; afterwards everything recovers by itself.
public final class PostgresJobStore: JobStore, Service {
  /// The longest that an executor's call waits for a connection.
  private static let executorWaitTimeout = Duration.seconds(3)

  let clientPool: ConnectionPool
  /// The connections of executors and maintenance: they do not wait behind clients.
  let executorPool: ConnectionPool
  /// The connection on which leases are renewed: it waits behind nothing else.
  let leasePool: ConnectionPool
  let connection: ConnectionConfiguration
  let configuration: PostgresJobStoreConfiguration
  let hub = JobSignalHub()
  let notifier: Notifier
  let gauge: Mutex<QueueGauge>
  /// How long maintenance has reached the database.
  let reachability: Mutex<Reachability>
  /// Per model, the tenant after which the next claim begins to look.
  let claimPivots = Mutex<[String: String]>([:])
  let logger: Logger

  /// Every statement of the store is made for its indexes. A plan that was made while the tables
  /// were small must not be kept when they are large, and none is worth being compiled.
  private static let sessionSettings = ["enable_seqscan": "off", "jit": "off"]

  private init(
    connection: ConnectionConfiguration, configuration: PostgresJobStoreConfiguration,
    logger: Logger
  ) {
    self.connection = connection
    self.configuration = configuration
    self.logger = logger
    clientPool = ConnectionPool(
      connection: connection, configuration: configuration.pool, logger: logger)
    var executors = configuration.pool
    executors.maxConnections = configuration.executorConnections
    executors.minConnections = min(1, executors.maxConnections)
    executors.waitTimeout = min(executors.waitTimeout, Self.executorWaitTimeout)
    executorPool = ConnectionPool(connection: connection, configuration: executors, logger: logger)
    var leases = executors
    leases.maxConnections = 1
    leases.minConnections = 1
    leasePool = ConnectionPool(connection: connection, configuration: leases, logger: logger)
    reachability = Mutex(Reachability(interval: configuration.maintenanceInterval))
    gauge = Mutex(
      QueueGauge(
        limit: configuration.maxQueuedJobs, interval: configuration.queueCountInterval))
    notifier = Notifier(interval: configuration.notifyInterval)
  }

  /// Connects, brings the schema up to date or checks it, and returns the store, ready to `run()`.
  ///
  /// - Throws: `JobStoreError`: `.unavailable` when the database cannot be reached, `.invalid`
  ///   when its schema is not one that this program can use.
  public static func open(
    connectionString: String,
    configuration: PostgresJobStoreConfiguration = PostgresJobStoreConfiguration(),
    logger: Logger
  ) async throws(JobStoreError) -> PostgresJobStore {
    let connection = ConnectionConfiguration(
      connectionString: connectionString, connectTimeout: configuration.connectTimeout,
      statementTimeout: configuration.statementTimeout, settings: sessionSettings)
    do {
      try await prepareSchema(connection, configuration: configuration, logger: logger)
    } catch {
      throw JobStoreError(mapping: error)
    }
    return PostgresJobStore(connection: connection, configuration: configuration, logger: logger)
  }

  private static func prepareSchema(
    _ configuration: ConnectionConfiguration, configuration store: PostgresJobStoreConfiguration,
    logger: Logger
  ) async throws {
    var configuration = configuration
    configuration.statementTimeout = nil  // a migration takes as long as it takes
    configuration.settings = [:]
    let connection = try await Connection.connect(configuration, logger: logger)
    guard await connection.serverVersion >= 140_000 else {
      await connection.close()
      throw JobStoreError(
        code: .invalid, message: "the server is older than PostgreSQL 14; use 14 or later")
    }
    let migrator = Migrator(logger: logger)
    if store.migratesSchema {
      try await migrator.migrate(on: connection, observedWith: configuration)
    } else if try await !migrator.status(on: connection).pending.isEmpty {
      await connection.close()
      throw JobStoreError(
        code: .invalid,
        message: "the database's schema is behind this program; run `millrace migrate`")
    }
    await connection.close()
  }

  /// Works until the task is cancelled or the service group shuts down gracefully.
  public func run() async throws {
    await cancelWhenGracefulShutdown {
      await withDiscardingTaskGroup { group in
        group.addTask { await self.clientPool.run() }
        group.addTask { await self.executorPool.run() }
        group.addTask { await self.leasePool.run() }
        group.addTask { await self.listen() }
        group.addTask { await self.notifier.run(pool: self.executorPool, logger: self.logger) }
        group.addTask { await self.maintain() }
      }
    }
  }

  public func ping() async throws(JobStoreError) {
    try await perform(on: executorPool) { _ = try await $0.query("SELECT 1") }
  }

  public func signals() -> AsyncStream<JobSignal> { hub.subscribe() }

  // MARK: How calls are made

  var now: Timestamp? { configuration.now?() }

  /// How often a call is made in all when the database chose it as the victim of a conflict.
  private static let maxAttempts = 3

  /// Makes a client's call.
  func perform<Value: Sendable>(
    _ body: @Sendable (Connection) async throws -> Value
  ) async throws(JobStoreError) -> Value {
    try await perform(on: clientPool, body)
  }

  /// Makes a call on a connection of a pool. One that lost against another transaction has changed
  /// nothing and is made again.
  func perform<Value: Sendable>(
    on pool: ConnectionPool, _ body: @Sendable (Connection) async throws -> Value
  ) async throws(JobStoreError) -> Value {
    var attempt = 1
    while true {
      do {
        return try await pool.withConnection(body)
      } catch let error as PostgresError
        where attempt < Self.maxAttempts
        && error.sqlState?.errorClass == .transactionRollback
      {
        attempt += 1
      } catch {
        throw JobStoreError(mapping: error)
      }
    }
  }

  /// Tells subscribers here at once, and other processes soon.
  func announce(_ signals: [JobSignal]) {
    hub.emit(signals)
    notifier.add(signals)
  }
}
