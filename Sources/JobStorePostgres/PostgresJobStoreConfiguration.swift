public import JobQueue
public import Postgres

/// How a store uses its database.
public struct PostgresJobStoreConfiguration: Sendable {
  public var pool: PoolConfiguration
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
  /// The shortest time between two notifications to other processes.
  public var notifyInterval: Duration
  /// The store's clock. `nil` is the database's, on which all machines agree; tests give another.
  public var now: (@Sendable () -> Timestamp)?

  public init(
    pool: PoolConfiguration = PoolConfiguration(), connectTimeout: Duration = .seconds(5),
    statementTimeout: Duration = .seconds(10), migratesSchema: Bool = true,
    maintenanceInterval: Duration = .seconds(1), maintenanceBatch: Int = 500,
    notifyInterval: Duration = .milliseconds(20), now: (@Sendable () -> Timestamp)? = nil
  ) {
    self.pool = pool
    self.connectTimeout = connectTimeout
    self.statementTimeout = statementTimeout
    self.migratesSchema = migratesSchema
    self.maintenanceInterval = maintenanceInterval
    self.maintenanceBatch = maintenanceBatch
    self.notifyInterval = notifyInterval
    self.now = now
  }
}
