import Foundation
import Postgres
import TestDatabase
import Testing

@Suite("A session", .serialized, .timeLimit(.minutes(5))) struct SessionTests {
  @Test("has the settings that the program relies on, whatever the connection string says")
  func settings() async throws {
    var configuration = try await freshDatabase()
    configuration.connectionString += """
       client_encoding=LATIN1 options='-c statement_timeout=1 -c lock_timeout=1 \
      -c default_transaction_isolation=serializable -c DateStyle=SQL -c enable_seqscan=on \
      -c synchronous_commit=off'
      """
    configuration.settings = ["enable_seqscan": "off"]
    configuration.isDurable = true
    let connection = try await Connection.connect(configuration, logger: TestServer.logger)
    for (name, value) in [
      "statement_timeout": "0", "lock_timeout": "0", "client_encoding": "UTF8",
      "default_transaction_isolation": "read committed", "enable_seqscan": "off",
      "synchronous_commit": "on",
    ] {
      let row = try #require(try await connection.query(Statement("SHOW \(name)")).first)
      #expect(try row.decode(0, as: String.self) == value, "\(name)")
    }
    await connection.close()
  }

  @Test("keeps weaker and stronger ways to commit that wait for the disk")
  func durability() async throws {
    var configuration = try await freshDatabase()
    configuration.connectionString += " options='-c synchronous_commit=local'"
    configuration.isDurable = true
    let connection = try await Connection.connect(configuration, logger: TestServer.logger)
    let row = try #require(try await connection.query("SHOW synchronous_commit").first)
    #expect(try row.decode(0, as: String.self) == "local")
    await connection.close()
  }

  @Test("of a server that takes no writes any more counts as lost")
  func readOnly() async throws {
    let connection = try await connect()
    try await connection.execute(script: "CREATE TABLE t (id integer)")
    // Not the server's doing: the session goes on.
    await #expect {
      try await connection.transaction(.snapshot) { try await $0.query("INSERT INTO t VALUES (1)") }
    } throws: { ($0 as? PostgresError)?.sqlState == .readOnlyTransaction }
    #expect(await connection.isUsable)
    try await connection.execute(script: "SET default_transaction_read_only = on")
    await #expect {
      try await connection.query("INSERT INTO t VALUES (1)")
    } throws: { ($0 as? PostgresError)?.isConnectionLoss == true }
    #expect(await !connection.isUsable)
  }

  @Test("is not made with a server that takes no writes")
  func refused() async throws {
    var configuration = try await freshDatabase()
    configuration.connectionString += " options='-c default_transaction_read_only=on'"
    let readOnly = configuration
    await #expect {
      try await Connection.connect(readOnly, logger: TestServer.logger)
    } throws: { ($0 as? PostgresError)?.code == .cannotConnect }
  }

  /// A server that can be stopped without disturbing other tests.
  private func withServer(
    _ body: @escaping @Sendable (PrivateServer, ConnectionConfiguration) async throws -> Void
  ) async throws {
    let path = FileManager.default.temporaryDirectory.path + "/millrace-silent-\(UUID().uuidString)"
    defer { try? FileManager.default.removeItem(atPath: path) }
    let server = try PrivateServer(
      dataDirectory: path, options: PrivateServerOptions(isDurable: false),
      logger: TestServer.logger)
    let connectionString = try await server.start()
    let result: Result<Void, any Error>
    do {
      result = .success(
        try await body(
          server,
          ConnectionConfiguration(
            connectionString: connectionString, statementTimeout: .milliseconds(200),
            responseGracePeriod: .milliseconds(300))))
    } catch {
      result = .failure(error)
    }
    await server.stop()
    try result.get()
  }

  @Test("with a server that has stopped ends in bounded time, and so does its pool")
  func stopped() async throws {
    try await withServer { server, configuration in
      let backends = Shared<[Int32]>([])
      defer { for process in backends.value + [server.processID ?? 0] { kill(process, SIGCONT) } }
      try await withLimit {
        try await ConnectionPool.withPool(
          connection: configuration,
          configuration: PoolConfiguration(minConnections: 0, maxConnections: 2),
          logger: TestServer.logger
        ) { pool in
          try await pool.withConnection { silent in
            try await pool.withConnection { cancelled in
              for connection in [silent, cancelled] {
                let process = await connection.serverProcessID
                backends.update { $0.append(process) }
              }
              for process in backends.value + [server.processID ?? 0] where process > 0 {
                kill(process, SIGSTOP)
              }
              await #expect {
                try await silent.query("SELECT 1")
              } throws: { ($0 as? PostgresError)?.code == .timedOut }
              #expect(await !silent.isUsable)
              // A cancel request, which asks the server too, does not hold it up either.
              let task = Task { try await cancelled.query("SELECT 2") }
              while await cancelled.isUsable { await Task.yield() }
              task.cancel()
              await #expect(throws: PostgresError.self) { try await task.value }
              #expect(await !cancelled.isUsable)
            }
          }
        }
      }
    }
  }
}
