import ArgumentParser
import Foundation
import Logging
import Postgres

/// Which database an operation is about: one of its own, or the private one of a data folder.
struct DatabaseFlags: ParsableArguments {
  @Option(
    name: .customLong("database-url"),
    help: ArgumentHelp(
      "A PostgreSQL database. [as `serve`: a private one]",
      valueName: "postgresql://…"))
  var databaseURL: String?

  @Option(
    help: """
      The private database's folder. [as `serve`: ~/.local/share/millrace, for root \
      /var/lib/millrace]
      """)
  var dataDir: String?

  @Option(help: "System user that runs the private database when this is root. [postgres]")
  var databaseUser: String?

  @Option(
    help: "The settings file of `serve`. [MILLRACE_CONFIG, or millrace.yaml, if there is one]")
  var config: String?

  /// The settings of `serve`, of which these flags are some.
  func source() throws(CommandFailure) -> SettingsSource {
    let environment = ProcessInfo.processInfo.environment
    return try SettingsSource(
      file: config ?? environment["MILLRACE_CONFIG"], environment: environment,
      keys: ServeSettings.keys)
  }

  func settings(_ source: inout SettingsSource) throws(CommandFailure) -> DatabaseSettings {
    try DatabaseSettings(&source, url: databaseURL, folder: dataDir, user: databaseUser)
  }
}

extension DatabaseSettings {
  /// The server of the private database.
  func privateServer(logger: Logger) throws -> PrivateServer {
    var options = PrivateServerOptions()
    if let user { options.account = user }
    return try PrivateServer(dataDirectory: privateFolder, options: options, logger: logger)
  }

  /// Connects; the private database is started for as long as the body runs.
  ///
  /// - Parameter joinsRunning: whether to use the private database of a service that runs, which
  ///   is an error else: only for looking on.
  func withConnection<Value: Sendable>(
    logger: Logger, joinsRunning: Bool = false, _ body: (Connection) async throws -> Value
  ) async throws -> Value {
    if let url { return try await connected(to: url, logger: logger, body) }
    let server = try privateServer(logger: logger)
    if joinsRunning, await answers(server.connectionString, logger: logger) {
      return try await connected(to: server.connectionString, logger: logger, body)
    }
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

  private func answers(_ url: String, logger: Logger) async -> Bool {
    (try? await connected(to: url, logger: logger) { _ in }) != nil
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
