public import JobQueue
public import Postgres

/// How a store uses its database.
public struct PostgresJobStoreConfiguration: Sendable {
  /// The connections of clients' calls.
  public var pool: PoolConfiguration
  /// How many connections more are kept for executors and maintenance, so that a lease never waits
  /// behind clients. Leases, health checks, the listener and the deletion of old jobs have another one
  /// each, and reports have two.
  public var executorConnections: Int
  /// The longest that connecting may take.
  public var connectTimeout: Duration
  /// The longest that one statement may run.
  public var statementTimeout: Duration
  /// Whether `open` brings the schema up to date; if not, it refuses one that is behind.
  public var migratesSchema: Bool
  /// How often expired leases and deadlines are looked for.
  public var maintenanceInterval: Duration
  /// The most jobs that one round of maintenance moves per kind.
  public var maintenanceBatch: Int
  /// How many jobs may wait. Beyond it a submission is refused as `.exhausted`. Processes count for
  /// themselves from time to time, so several together may go a little over it.
  public var maxQueuedJobs: Int
  /// The shortest time between two counts of the waiting jobs.
  public var queueCountInterval: Duration
  /// How long jobs are kept after their end, with their output; `nil` keeps them for ever.
  public var retention: Duration?
  /// The shortest time between two notifications to other processes.
  public var notifyInterval: Duration
  /// The store's clock. `nil` is the database's, on which all machines agree; tests give another.
  public var now: (@Sendable () -> Timestamp)?

  public init(
    pool: PoolConfiguration = PoolConfiguration(), executorConnections: Int = 3,
    connectTimeout: Duration = .seconds(5), statementTimeout: Duration = .seconds(10),
    migratesSchema: Bool = true, maintenanceInterval: Duration = .seconds(1),
    maintenanceBatch: Int = 500, maxQueuedJobs: Int = JobLimits.defaultQueuedJobs,
    queueCountInterval: Duration = .seconds(1), retention: Duration? = .seconds(90 * 86_400),
    notifyInterval: Duration = .milliseconds(20), now: (@Sendable () -> Timestamp)? = nil
  ) {
    self.pool = pool
    self.executorConnections = max(executorConnections, 1)
    self.connectTimeout = connectTimeout
    self.statementTimeout = statementTimeout
    self.migratesSchema = migratesSchema
    self.maintenanceInterval = maintenanceInterval
    self.maintenanceBatch = maintenanceBatch
    self.maxQueuedJobs = maxQueuedJobs
    self.queueCountInterval = queueCountInterval
    self.retention = retention
    self.notifyInterval = notifyInterval
    self.now = now
  }
}
