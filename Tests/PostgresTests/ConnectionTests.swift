import Foundation
import Postgres
import TestDatabase
import Testing

@Suite(.serialized) struct ConnectionTests {
  @Test("errors carry their SQLSTATE and no parameter, and the connection goes on")
  func errors() async throws {
    let connection = try await connect()
    try await connection.execute(
      script: """
        CREATE TABLE t (id integer PRIMARY KEY, name text CHECK (name <> 'bad'));
        INSERT INTO t VALUES (1, 'one');
        """)
    let cases: [(Statement, SQLState)] = [
      (Statement("INSERT INTO t VALUES ($1, $2)", Int32(1), "secret"), .uniqueViolation),
      (Statement("INSERT INTO t VALUES ($1, $2)", Int32(2), "bad"), .checkViolation),
      (Statement("INSERT INTO t VALUES ($1)", Int32?.none), .notNullViolation),
      (Statement("SELECT $1::integer", "secret"), SQLState(rawValue: "22P02")),
      (Statement("SELECT * FROM missing"), .undefinedTable),
      (Statement("nonsense"), SQLState(rawValue: "42601")),
    ]
    for (statement, state) in cases {
      do {
        try await connection.query(statement)
        Issue.record("\(state) was expected")
      } catch let error as PostgresError {
        #expect(error.sqlState == state)
        #expect(error.code == .server)
        #expect(!error.isConnectionLoss)
        #expect(!"\(error)".contains("secret"))
      }
    }
    #expect(try await connection.query("SELECT * FROM t").count == 1)
    await connection.close()
  }

  @Test(
    "error codes say what to do",
    arguments: [
      ("40001", true, false), ("40P01", true, false), ("57P01", true, true), ("57P03", true, true),
      ("08006", true, true), ("53300", true, false), ("53100", false, false),
      ("23505", false, false), ("42601", false, false), ("25006", true, true),
    ])
  func classes(state: String, isRetryable: Bool, isLoss: Bool) {
    let error = PostgresError(
      code: .server, message: "m", sqlState: SQLState(rawValue: state))
    #expect(error.isRetryable == isRetryable)
    #expect(error.isConnectionLoss == isLoss)
    #expect("\(error)".contains(state))
  }

  @Test("a server that is not there is an error within the time limit")
  func unreachable() async throws {
    for address in ["host=/nonexistent", "host=127.0.0.1 port=1"] {
      let configuration = ConnectionConfiguration(connectionString: address)
      await #expect {
        try await Connection.connect(configuration, logger: TestServer.logger)
      } throws: { ($0 as? PostgresError)?.code == .cannotConnect }
    }
    // A socket that accepts and says nothing.
    let silent = try SilentServer()
    let configuration = ConnectionConfiguration(
      connectionString: "host=\(silent.folder) port=5432 sslmode=disable",
      connectTimeout: .milliseconds(100))
    await #expect {
      try await Connection.connect(configuration, logger: TestServer.logger)
    } throws: { ($0 as? PostgresError)?.code == .cannotConnect }
  }

  @Test("a pipeline's results come in order, and its statements stand or fall together")
  func pipeline() async throws {
    let connection = try await connect()
    try await connection.execute(script: "CREATE TABLE t (id integer PRIMARY KEY)")
    let statements = (0..<500).map {
      Statement("INSERT INTO t VALUES ($1) RETURNING id", Int32($0))
    }
    let results = try await connection.pipeline(statements)
    #expect(try results.map { try $0[0].decode(0, as: Int32.self) } == (0..<500).map { Int32($0) })
    let mixed = [
      Statement("INSERT INTO t VALUES ($1)", Int32(1_000)),
      Statement("INSERT INTO t VALUES ($1)", Int32(1)),
      Statement("SELECT 1"),
    ]
    for run in [
      { _ = try await connection.pipeline(mixed) },
      { _ = try await connection.transaction(mixed) },
    ] as [@Sendable () async throws -> Void] {
      await #expect {
        try await run()
      } throws: { ($0 as? PostgresError)?.sqlState == .uniqueViolation }
    }
    #expect(try await connection.query("SELECT FROM t WHERE id = 1000").isEmpty)
    #expect(try await connection.pipeline([]).isEmpty)
    await connection.close()
  }

  @Test("more data than the socket holds goes through a pipeline both ways")
  func largePipeline() async throws {
    let connection = try await connect()
    let block = Data(repeating: 7, count: 200_000)
    let statements = (0..<100).map { _ in Statement("SELECT $1", block) }
    let results = try await connection.pipeline(statements)
    #expect(results.count == 100)
    #expect(try results.allSatisfy { try $0[0].decode(0, as: Data.self) == block })
    await connection.close()
  }

  @Test("a statement is prepared once, and beyond the limit not at all")
  func prepared() async throws {
    let connection = try await connect()
    for _ in 0..<3 { try await connection.query("SELECT $1", Int32(1)) }
    try await connection.query("SELECT $1", "text")
    let mine = "SELECT count(*) FROM pg_prepared_statements WHERE statement = 'SELECT $1'"
    #expect(try await connection.query(mine)[0].decode(0, as: Int64.self) == 2)
    for index in 0..<400 {
      let row = try await connection.query("SELECT \(index), $1", Int32(index))[0]
      #expect(try row.decode(1, as: Int32.self) == Int32(index))
    }
    let all = try await connection.query("SELECT count(*) FROM pg_prepared_statements")
    #expect(try all[0].decode(0, as: Int64.self) == 256)
    await connection.close()
  }

  @Test("a transaction is committed when its body returns and rolled back when it throws")
  func transactions() async throws {
    struct Stop: Error {}
    let connection = try await connect()
    try await connection.execute(script: "CREATE TABLE t (id integer PRIMARY KEY)")
    try await connection.transaction { try await $0.query("INSERT INTO t VALUES (1)") }
    await #expect(throws: Stop.self) {
      try await connection.transaction { connection in
        try await connection.query("INSERT INTO t VALUES (2)")
        throw Stop()
      }
    }
    await #expect(throws: PostgresError.self) {
      try await connection.transaction { connection in
        try await connection.query("INSERT INTO t VALUES (3)")
        try await connection.query("INSERT INTO t VALUES (1)")
      }
    }
    await #expect(throws: PostgresError.self) {
      try await connection.transaction(.snapshot) { try await $0.query("DELETE FROM t") }
    }
    let ids = try await connection.query("SELECT id FROM t")
    #expect(try ids.map { try $0.decode(0, as: Int32.self) } == [1])
    #expect(await connection.isUsable)
    await connection.close()
  }

  @Test("cancelling the task cancels the statement and keeps the connection")
  func cancellation() async throws {
    let connection = try await connect()
    let observer = try await connect()
    let processID = await connection.serverProcessID
    let task = Task { try await connection.query("SELECT pg_sleep(600)") }
    var isRunning = false
    while !isRunning {
      isRunning = try await !observer.query(
        "SELECT FROM pg_stat_activity WHERE pid = $1 AND wait_event = 'PgSleep'", processID
      ).isEmpty
    }
    task.cancel()
    await #expect {
      try await withLimit { try await task.value }
    } throws: { ($0 as? PostgresError)?.code == .cancelled }
    for index in 0..<50 {
      let row = try await connection.query("SELECT $1", Int32(index))[0]
      #expect(try row.decode(0, as: Int32.self) == Int32(index))
    }
    await connection.close()
    await observer.close()
  }

  @Test("the server's own time limit is an error of its own")
  func statementTimeout() async throws {
    var configuration = try await freshDatabase()
    configuration.statementTimeout = .milliseconds(50)
    let connection = try await Connection.connect(configuration, logger: TestServer.logger)
    await #expect {
      try await connection.query("SELECT pg_sleep(600)")
    } throws: { ($0 as? PostgresError)?.code == .timedOut }
    #expect(await connection.isUsable)
    await connection.close()
  }

  @Test("statements that together take longer than one may do not make the server count as silent")
  func longPipeline() async throws {
    var configuration = try await freshDatabase()
    configuration.statementTimeout = .milliseconds(1_500)
    configuration.responseGracePeriod = .zero
    let connection = try await Connection.connect(configuration, logger: TestServer.logger)
    let results = try await connection.transaction(
      Array(repeating: Statement("SELECT pg_sleep(0.4)"), count: 5))
    #expect(results.count == 5)
    #expect(await connection.isUsable)
    await connection.close()
  }

  @Test("a session that the server ends is reported as lost")
  func termination() async throws {
    let connection = try await connect()
    let other = try await connect()
    try await other.query("SELECT pg_terminate_backend($1)", await connection.serverProcessID)
    await #expect {
      try await connection.query("SELECT 1")
    } throws: { ($0 as? PostgresError)?.isConnectionLoss == true }
    #expect(await !connection.isUsable)
    await #expect {
      try await connection.query("SELECT 1")
    } throws: { ($0 as? PostgresError)?.isConnectionLoss == true }
    await other.close()
  }

  @Test("a second statement at the same time is refused")
  func busy() async throws {
    let connection = try await connect()
    let task = Task { try await connection.query("SELECT pg_sleep(600)") }
    while await connection.isUsable { await Task.yield() }
    await #expect {
      try await connection.query("SELECT 1")
    } throws: { ($0 as? PostgresError)?.code == .misuse }
    task.cancel()
    _ = await task.result
    await connection.close()
  }
}

/// Listens on a unix socket and answers nobody.
private final class SilentServer {
  let folder: String
  private let descriptor: Int32

  init() throws {
    var template = Array("/tmp/millrace-silent-XXXXXX".utf8CString)
    guard let made = mkdtemp(&template) else { throw LimitReached() }
    folder = String(cString: made)
    descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let path = Array((folder + "/.s.PGSQL.5432").utf8)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path) }
    let bound = withUnsafePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
    guard bound == 0, listen(descriptor, 4) == 0 else { throw LimitReached() }
  }

  deinit {
    close(descriptor)
    try? FileManager.default.removeItem(atPath: folder)
  }
}
