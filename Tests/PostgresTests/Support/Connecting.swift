import Foundation
import Postgres
import Synchronization
import TestDatabase

/// A connection to a new, empty database.
func connect() async throws -> Connection {
  try await Connection.connect(try await freshDatabase(), logger: TestServer.logger)
}

func freshDatabase() async throws -> ConnectionConfiguration {
  let name = try await TestServer.shared.makeDatabase()
  return ConnectionConfiguration(
    connectionString: try await TestServer.shared.connectionString(of: name))
}

/// Runs the body, and gives up after a time that only a hanging program needs.
func withLimit<Value: Sendable>(
  _ limit: Duration = .seconds(60), _ body: @escaping @Sendable () async throws -> Value
) async throws -> Value {
  try await withThrowingTaskGroup(of: Value?.self) { group in
    group.addTask { try await body() }
    group.addTask {
      try await Task.sleep(for: limit)
      return nil
    }
    defer { group.cancelAll() }
    guard let value = try await group.next() ?? nil else { throw LimitReached() }
    return value
  }
}

struct LimitReached: Error {}

/// A value that tasks share.
final class Shared<Value: Sendable>: Sendable {
  private let state: Mutex<Value>

  init(_ value: Value) {
    state = Mutex(value)
  }

  var value: Value { state.withLock { $0 } }

  func update(_ change: @Sendable (inout Value) -> Void) {
    state.withLock { change(&$0) }
  }
}
