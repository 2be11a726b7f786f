public import JobQueue
public import Logging
public import Postgres
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
  /// The longest that a statement of the lease's connection may run, and that its server may be
  /// silent beyond it: together well below a lease, so that there is time for another connection.
  private static let leaseTimeout = Duration.seconds(3)
  /// The longest that a listing or statistics may take, and how many there are at once.
  static let reportTimeout = Duration.seconds(3)
  private static let reportConnections = 2

  let clientPool: ConnectionPool
  /// The connections of executors and maintenance: they do not wait behind clients.
  let executorPool: ConnectionPool
  /// The connection on which leases are renewed: it waits behind nothing else.
  let leasePool: ConnectionPool
  /// The connection of health checks: that all others are busy says nothing of the database.
  let pingPool: ConnectionPool
  /// The connections of what reads much: listings and statistics. They are few, and what takes too
  /// long there ends soon, so that reports leave the calls of other clients alone.
  let reportPool: ConnectionPool
  /// The connection on which old jobs are deleted.
  let prunePool: ConnectionPool
  let connection: ConnectionConfiguration
  let configuration: PostgresJobStoreConfiguration
  let hub = JobSignalHub()
  let notifier: Notifier
  let gauge: Mutex<QueueGauge>
  /// How long maintenance has reached the database.
  let reachability: Mutex<Reachability>
  /// Per model, the tenant after which the next claim begins to look.
  let claimPivots = Mutex<[String: String]>([:])
  /// From counting running jobs for claims, and from looking for claims that nobody knows of.
  let countingRest = Mutex(Rest())
  let unnamedRest = Mutex(Rest())
  let logger: Logger

  /// Every statement of the store is made for its indexes. A plan that was made while the tables
  /// were small must not be kept when they are large, and none is worth being compiled.
  package static let sessionSettings = ["enable_seqscan": "off", "jit": "off"]

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
    var leaseConnection = connection
    leaseConnection.statementTimeout = min(configuration.statementTimeout, Self.leaseTimeout)
    leaseConnection.responseGracePeriod = Self.leaseTimeout
    leasePool = ConnectionPool(connection: leaseConnection, configuration: leases, logger: logger)
    var pings = leases
    pings.minConnections = 0
    pingPool = ConnectionPool(connection: leaseConnection, configuration: pings, logger: logger)
    var reports = configuration.pool
    reports.maxConnections = Self.reportConnections
    reports.minConnections = 0
    var reportConnection = connection
    reportConnection.statementTimeout = min(configuration.statementTimeout, Self.reportTimeout)
    reportPool = ConnectionPool(
      connection: reportConnection, configuration: reports, logger: logger)
    var pruning = reports
    pruning.maxConnections = 1
    prunePool = ConnectionPool(connection: connection, configuration: pruning, logger: logger)
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
      statementTimeout: configuration.statementTimeout, settings: sessionSettings, isDurable: true)
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
    do {
      try await checkServer(connection)
    } catch {
      await connection.close()
      throw error
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

  /// Refuses a database that cannot hold the queue.
  ///
  /// - Throws: `JobStoreError` of code `.invalid`, with the remedy.
  public static func checkServer(_ connection: Connection) async throws(JobStoreError) {
    guard await connection.serverVersion >= 140_000 else {
      throw JobStoreError(
        code: .invalid, message: "the server is older than PostgreSQL 14; use 14 or later")
    }
    let encoding = await connection.serverEncoding
    guard encoding == "UTF8" else {
      throw JobStoreError(
        code: .invalid,
        message: "the database's encoding is \(encoding), which cannot hold every text; make one "
          + "with CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0")
    }
  }

  /// Works until the task is cancelled or the service group shuts down gracefully.
  public func run() async throws {
    await cancelWhenGracefulShutdown {
      await withDiscardingTaskGroup { group in
        group.addTask { await self.clientPool.run() }
        group.addTask { await self.executorPool.run() }
        group.addTask { await self.leasePool.run() }
        group.addTask { await self.pingPool.run() }
        group.addTask { await self.reportPool.run() }
        group.addTask { await self.prunePool.run() }
        group.addTask { await self.listen() }
        group.addTask { await self.notifier.run(pool: self.executorPool, logger: self.logger) }
        group.addTask { await self.maintain() }
        group.addTask { await self.tidy() }
      }
    }
  }

  public func ping() async throws(JobStoreError) {
    try await perform(on: pingPool) { _ = try await $0.query("SELECT 1") }
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
