import ArgumentParser
import Foundation
import Logging
import Postgres

/// Which database an operation is about: one of its own, or the private one of a data folder.
struct DatabaseFlags: ParsableArguments {
  @Option(
    name: .customLong("database-url"),
    help: ArgumentHelp(
      "A PostgreSQL database. [MILLRACE_DATABASE_URL, or the private one]",
      valueName: "postgresql://…"))
  var databaseURL: String?

  @Option(
    help: """
      The private database's folder. [MILLRACE_DATA_DIR, or ~/.local/share/millrace, for root \
      /var/lib/millrace]
      """)
  var dataDir: String?

  func validate() throws {
    guard databaseURL != "" else {
      throw ValidationError("--database-url is empty; leave it out for the private database")
    }
    guard dataDir != "" else { throw ValidationError("--data-dir is empty; name a folder") }
  }

  var url: String? { databaseURL ?? environment("MILLRACE_DATABASE_URL") }

  var folder: String {
    dataDir ?? environment("MILLRACE_DATA_DIR") ?? ServeSettings.defaultDataDirectory
  }

  private func environment(_ name: String) -> String? {
    ProcessInfo.processInfo.environment[name].flatMap { $0.isEmpty ? nil : $0 }
  }

  /// Connects; the private database is started for as long as the body runs.
  func withConnection<Value: Sendable>(
    logger: Logger, _ body: (Connection) async throws -> Value
  ) async throws -> Value {
    if let url { return try await connected(to: url, logger: logger, body) }
    let server = try PrivateServer(dataDirectory: folder + "/postgres", logger: logger)
    let connectionString = try await server.start()
    let result: Result<Value, any Error>
    do {
      result = .success(try await connected(to: connectionString, logger: logger, body))
    } catch {
      result = .failure(error)
    }
    await server.stop()
    return try result.get()
  }

  private func connected<Value: Sendable>(
    to url: String, logger: Logger, _ body: (Connection) async throws -> Value
  ) async throws -> Value {
    let connection = try await Connection.connect(
      ConnectionConfiguration(connectionString: url), logger: logger)
    let result: Result<Value, any Error>
    do {
      result = .success(try await body(connection))
    } catch {
      result = .failure(error)
    }
    await connection.close()
    return try result.get()
  }
}

/// A logger for commands: warnings and worse, on standard error.
func commandLogger() -> Logger {
  var logger = Logger(label: "millrace") { StreamLogHandler.standardError(label: $0) }
  logger.logLevel = .warning
  return logger
}
