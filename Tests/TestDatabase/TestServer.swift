import Foundation
package import Logging
import Postgres
import Synchronization

/// The private PostgreSQL server of a test run: started by the first test that asks for it,
/// stopped and removed when the process ends.
package actor TestServer {
  package static let shared = TestServer()

  private var starting: Task<PrivateServer, any Error>?
  private var databases = 0

  package static let logger = Logger(label: "tests") { _ in SwiftLogNoOpLogHandler() }

  package func connectionString() async throws -> String {
    try await server().connectionString
  }

  /// A new, empty database.
  /// - Parameter template: the database to copy; nobody may be connected to it.
  package func makeDatabase(template: String = "template0") async throws -> String {
    databases += 1
    let name = "test\(databases)"
    let administrator = try await connectionString()
    let connection = try await Connection.connect(
      ConnectionConfiguration(connectionString: administrator), logger: Self.logger)
    try await connection.execute(script: "CREATE DATABASE \(name) TEMPLATE \(template)")
    await connection.close()
    return name
  }

  /// The connection string of one of the server's databases.
  package func connectionString(of database: String) async throws -> String {
    try await connectionString() + " dbname=\(database)"
  }

  private func server() async throws -> PrivateServer {
    if let starting { return try await starting.value }
    let task = Task {
      let path =
        FileManager.default.temporaryDirectory.path
        + "/millrace-tests-\(getpid())"
      let server = try PrivateServer(
        dataDirectory: path, options: PrivateServerOptions(maxConnections: 200, isDurable: false),
        logger: Self.logger)
      try await server.start()
      ServerAtExit.register(processID: server.processID ?? 0, folder: path)
      return server
    }
    starting = task
    return try await task.value
  }
}

/// Ends a server and removes its folder when the test process exits.
enum ServerAtExit {
  private static let registered = Mutex<[(processID: pid_t, folder: String)]>([])

  static func register(processID: pid_t, folder: String) {
    let isFirst = registered.withLock { registered in
      registered.append((processID, folder))
      return registered.count == 1
    }
    guard isFirst else { return }
    atexit {
      for (processID, folder) in ServerAtExit.registered.withLock({ $0 }) where processID > 1 {
        kill(processID, SIGQUIT)
        for _ in 0..<500 where kill(processID, 0) == 0 { _ = poll(nil, 0, 10) }
        try? FileManager.default.removeItem(atPath: folder)
      }
    }
  }
}
