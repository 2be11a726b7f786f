import Foundation
import TestDatabase
import Testing
import JobQueue
import JobStorePostgres
import Logging
import Postgres
import Synchronization

/// The stores that the conformance suite holds to the same words.
enum StoreKind: String, CaseIterable, Sendable, CustomTestStringConvertible {
  case memory, postgres
  var testDescription: String { rawValue }
}

/// A clock that stands still until it is moved.
final class TestClock: Sendable {
  private let time = Mutex(Timestamp(microsecondsSinceEpoch: 1_800_000_000_000_000))

  var now: Timestamp { time.withLock { $0 } }

  func advance(by duration: Duration) {
    time.withLock { $0 = $0 + duration }
  }
}

/// The databases that tests of the store begin with: empty, with the schema in place.
actor MigratedDatabases {
  static let shared = MigratedDatabases()
  private var preparing: Task<String, any Error>?

  func make() async throws -> String {
    let template = try await self.template()
    let name = try await TestServer.shared.makeDatabase(template: template)
    return try await TestServer.shared.connectionString(of: name)
  }

  private func template() async throws -> String {
    if let preparing { return try await preparing.value }
    let task = Task {
      let name = try await TestServer.shared.makeDatabase()
      let connection = try await Connection.connect(
        ConnectionConfiguration(
          connectionString: try await TestServer.shared.connectionString(of: name)),
        logger: TestServer.logger)
      try await Migrator(logger: TestServer.logger).migrate(on: connection)
      await connection.close()
      return name
    }
    preparing = task
    return try await task.value
  }
}

/// Runs a test on a fresh store.
func withStore(
  _ kind: StoreKind, maxQueuedJobs: Int = JobLimits.defaultQueuedJobs,
  _ body: @escaping @Sendable (StoreUnderTest) async throws -> Void
) async throws {
  let clock = TestClock()
  switch kind {
  case .memory:
    let store = InMemoryJobStore(maxQueuedJobs: maxQueuedJobs, now: { clock.now })
    try await body(StoreUnderTest(store: store, clock: clock))
  case .postgres:
    try await withPostgresStore(
      try await MigratedDatabases.shared.make(), maxQueuedJobs: maxQueuedJobs,
      now: { clock.now }
    ) { store in
      try await body(StoreUnderTest(store: store, clock: clock))
    }
  }
}

/// Opens a store and keeps it running while the body does.
func withPostgresStore(
  _ connectionString: String, pool: PoolConfiguration = PoolConfiguration(maxConnections: 6),
  statementTimeout: Duration = .seconds(10), maintenanceInterval: Duration = .seconds(3_600),
  maxQueuedJobs: Int = JobLimits.defaultQueuedJobs, retention: Duration? = nil,
  now: (@Sendable () -> Timestamp)? = nil,
  _ body: @escaping @Sendable (PostgresJobStore) async throws -> Void
) async throws {
  // Tests that compute can keep all cores for seconds.
  let configuration = PostgresJobStoreConfiguration(
    pool: pool, connectTimeout: .seconds(60), statementTimeout: statementTimeout,
    maintenanceInterval: maintenanceInterval, maxQueuedJobs: maxQueuedJobs,
    queueCountInterval: .zero, retention: retention, now: now)
  let store = try await PostgresJobStore.open(
    connectionString: connectionString, configuration: configuration, logger: TestServer.logger)
  try await withThrowingTaskGroup(of: Void.self) { group in
    group.addTask { try await store.run() }
    try await body(store)
    group.cancelAll()
    try await group.waitForAll()
  }
}
