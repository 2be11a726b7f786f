import Foundation
import Postgres
import TestDatabase
import Testing

@Suite(.serialized) struct PrivateServerTests {
  /// Runs the body with a folder that is gone afterwards.
  private func withFolder(
    _ name: String = "millrace-server", _ body: @Sendable (String) async throws -> Void
  ) async throws {
    let path = FileManager.default.temporaryDirectory.path + "/\(name)-\(UUID().uuidString)"
    defer { try? FileManager.default.removeItem(atPath: path) }
    try await body(path)
  }

  private func server(
    _ path: String, _ options: PrivateServerOptions = PrivateServerOptions(isDurable: false)
  ) throws -> PrivateServer {
    try PrivateServer(dataDirectory: path, options: options, logger: TestServer.logger)
  }

  private func isAlive(_ processID: Int32) -> Bool { kill(processID, 0) == 0 }

  @Test("a server is set up once, keeps its data, and listens on its socket only")
  func lifecycle() async throws {
    try await withFolder { path in
      for round in 0..<2 {
        let server = try server(path)
        let connectionString = try await server.start()
        #expect(try await server.start() == connectionString)
        let processID = try #require(server.processID)
        let connection = try await Connection.connect(
          ConnectionConfiguration(connectionString: connectionString), logger: TestServer.logger)
        if round == 0 { try await connection.execute(script: "CREATE TABLE kept (id integer)") }
        try await connection.query("INSERT INTO kept VALUES (1)")
        #expect(try await connection.query("SELECT FROM kept").count == round + 1)
        for (setting, expected) in [
          ("listen_addresses", ""), ("server_encoding", "UTF8"), ("lc_collate", "C"),
          ("autovacuum", "on"),
        ] {
          let row = try await connection.query("SELECT current_setting($1)", setting)[0]
          #expect(try row.decode(0, as: String.self) == expected)
        }
        await connection.close()
        await server.stop()
        #expect(server.processID == nil)
        #expect(!isAlive(processID))
        #expect(!FileManager.default.fileExists(atPath: path + "/data/postmaster.pid"))
      }
    }
  }

  @Test("starting a server that runs leaves it and its connections as they are")
  func secondStart() async throws {
    try await withFolder { path in
      let server = try server(path)
      let connectionString = try await server.start()
      let processID = try #require(server.processID)
      let connection = try await Connection.connect(
        ConnectionConfiguration(connectionString: connectionString), logger: TestServer.logger)
      try await connection.execute(script: "CREATE TEMPORARY TABLE mine (id integer)")
      for _ in 0..<3 { #expect(try await server.start() == connectionString) }
      #expect(server.processID == processID)
      // Of this connection alone, and gone with it.
      #expect(try await connection.query("SELECT count(*) FROM mine").count == 1)
      await connection.close()
      await server.stop()
      #expect(!isAlive(processID))
    }
  }

  @Test("two starts at the same moment set one server up")
  func twoStarts() async throws {
    try await withFolder { path in
      let server = try server(path)
      let starts = await withTaskGroup(of: Result<String, any Error>.self) { group in
        for _ in 0..<4 {
          group.addTask {
            do { return .success(try await server.start()) } catch { return .failure(error) }
          }
        }
        return await group.reduce(into: []) { $0.append($1) }
      }
      #expect(starts.contains { (try? $0.get()) == server.connectionString })
      let connection = try await Connection.connect(
        ConnectionConfiguration(connectionString: server.connectionString),
        logger: TestServer.logger)
      #expect(try await connection.query("SELECT 1").count == 1)
      await connection.close()
      let processID = try #require(server.processID)
      await server.stop()
      #expect(!isAlive(processID))
    }
  }

  @Test("only the server's user can enter its folders")
  func privacy() async throws {
    try await withFolder { path in
      let server = try server(path)
      try await server.start()
      for folder in [path, path + "/data", path + "/socket"] {
        var info = stat()
        #expect(stat(folder, &info) == 0)
        #expect(info.st_mode & 0o077 == 0)
        #expect(geteuid() == 0 ? info.st_uid != 0 : info.st_uid == geteuid())
      }
      await server.stop()
    }
  }

  @Test("a server that is killed is started again, and clients recover")
  func supervision() async throws {
    try await withFolder { path in
      let server = try server(path)
      let connectionString = try await server.start()
      let open = try await Connection.connect(
        ConnectionConfiguration(connectionString: connectionString), logger: TestServer.logger)
      try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { try await server.run() }
        try await ConnectionPool.withPool(
          connection: ConnectionConfiguration(connectionString: connectionString),
          logger: TestServer.logger
        ) { pool in
          try await pool.withConnection {
            try await $0.execute(script: "CREATE TABLE t (worker integer, round integer)")
          }
          let first = try #require(server.processID)
          try await withThrowingTaskGroup(of: Void.self) { clients in
            for worker in 0..<4 as Range<Int32> {
              clients.addTask {
                // Under load: until twenty writes succeeded under the second server.
                var after: Int32 = 0
                while after < 20 {
                  do {
                    let round = after
                    try await pool.withConnection {
                      _ = try await $0.query("INSERT INTO t VALUES ($1, $2)", worker, round)
                    }
                    if let processID = server.processID, processID != first { after += 1 }
                  } catch let error as PostgresError {
                    #expect(error.isConnectionLoss, "\(error)")
                  }
                }
              }
            }
            kill(first, SIGKILL)
            try await clients.waitForAll()
          }
        }
        group.cancelAll()
        try await group.waitForAll()
      }
      let error = await #expect(throws: PostgresError.self) { try await open.query("SELECT 1") }
      #expect(error?.isConnectionLoss == true)
      await open.close()
      #expect(server.processID == nil)
    }
  }

  @Test("a server that was left behind is stopped properly and replaced")
  func orphan() async throws {
    try await withFolder { path in
      let first = try server(path)
      try await first.start()
      let orphan = try #require(first.processID)
      // What is left when this process's lock is gone, as after a kill, but the server is not.
      try FileManager.default.removeItem(atPath: path + "/lock")
      let second = try server(path)
      try await second.start()
      #expect(!isAlive(orphan))
      #expect(second.processID != orphan)
      await second.stop()
      await first.stop()
    }
  }

  @Test("a stale process id file is no obstacle, whoever has the number now")
  func staleFile() async throws {
    try await withFolder { path in
      let server = try server(path)
      try await server.start()
      let file = path + "/data/postmaster.pid"
      let text = try String(contentsOfFile: file, encoding: .utf8)
      await server.stop()
      // A number that nobody has, and that of a process that is not PostgreSQL: this one's parent.
      for number in ["999999999", "\(getppid())", "\(getpid())"] {
        let lines = [number] + text.split(separator: "\n").dropFirst().map(String.init)
        try lines.joined(separator: "\n").write(toFile: file, atomically: false, encoding: .utf8)
        try await server.start()
        #expect(server.processID != nil)
        await server.stop()
      }
    }
  }

  @Test("a second process on the same folder is refused")
  func lock() async throws {
    try await withFolder { path in
      let first = try server(path)
      try await first.start()
      let second = try server(path)
      await #expect {
        try await second.start()
      } throws: { ($0 as? PostgresError)?.message.contains("another process") == true }
      let processID = try #require(first.processID)
      #expect(isAlive(processID))
      await first.stop()
    }
  }

  @Test("a path that is too long for a socket gets a short one")
  func longPath() async throws {
    try await withFolder("millrace-" + String(repeating: "long", count: 30)) { path in
      let server = try server(path)
      let connectionString = try await server.start()
      #expect(!connectionString.contains(path))
      let connection = try await Connection.connect(
        ConnectionConfiguration(connectionString: connectionString), logger: TestServer.logger)
      #expect(try await connection.query("SELECT 1").count == 1)
      let row = try await connection.query("SELECT current_setting('unix_socket_directories')")[0]
      let folder: String = try row.decode(0)
      await connection.close()
      await server.stop()
      #expect(!FileManager.default.fileExists(atPath: folder))
    }
  }

  @Test("what stands in the way is named together with the remedy")
  func errors() async throws {
    try await withFolder { path in
      var options = PrivateServerOptions(isDurable: false)
      options.binaryFolder = path + "/none"
      let missing = try server(path, options)
      await #expect {
        try await missing.start()
      } throws: { ($0 as? PostgresError)?.message.contains("apt-get install") == true }
    }
    try await withFolder { path in
      // Somebody's files where the data should go are not touched.
      try FileManager.default.createDirectory(
        atPath: path + "/data", withIntermediateDirectories: true)
      try Data("mine".utf8).write(to: URL(fileURLWithPath: path + "/data/file"))
      let server = try server(path)
      await #expect {
        try await server.start()
      } throws: { ($0 as? PostgresError)?.message.contains("holds files") == true }
      #expect(FileManager.default.fileExists(atPath: path + "/data/file"))
    }
    guard geteuid() == 0 else { return }
    try await withFolder { path in
      try FileManager.default.createDirectory(
        atPath: path, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
      let server = try server(path + "/below")
      await #expect {
        try await server.start()
      } throws: { ($0 as? PostgresError)?.message.contains("chmod o+x \(path)") == true }
      var options = PrivateServerOptions()
      options.account = "nobody-of-this-name"
      #expect(throws: PostgresError.self) {
        try self.server(path, options)
      }
    }
  }

  @Test("the process id file is read as PostgreSQL writes it")
  func processIDFile() {
    let running = "123\n/data\n1700000000\n5432\n/socket\n\n  1234 5\nready   \n"
    #expect(PostmasterFile(text: running)?.processID == 123)
    #expect(PostmasterFile(text: running)?.isReady == true)
    let starting = "123\n/data\n1700000000\n5432\n/socket\n\n  1234 5\nstarting\n"
    #expect(PostmasterFile(text: starting)?.isReady == false)
    #expect(PostmasterFile(text: "123\n")?.isReady == false)
    for text in ["", "\n", "x\n", "-5\n", "1\n"] { #expect(PostmasterFile(text: text) == nil) }
  }
}
