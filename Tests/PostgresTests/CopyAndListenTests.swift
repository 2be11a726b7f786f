import Foundation
import Postgres
import TestDatabase
import Testing

@Suite(.serialized) struct CopyAndListenTests {
  @Test("COPY stores what it is given and gives it back")
  func copy() async throws {
    let connection = try await connect()
    try await connection.execute(script: "CREATE TABLE t (id integer PRIMARY KEY, name text)")
    let lines = (0..<20_000).map { Data("\($0)\tname \($0)\n".utf8) }
    let stream = AsyncStream { continuation in
      for line in lines { continuation.yield(line) }
      continuation.finish()
    }
    #expect(try await connection.copyIn("COPY t FROM STDIN", stream) == 20_000)
    let received = Shared(Data())
    try await connection.copyOut("COPY (SELECT * FROM t ORDER BY id) TO STDOUT") { chunk in
      received.update { $0 += chunk }
    }
    #expect(received.value == lines.reduce(into: Data()) { $0 += $1 })
    await connection.close()
  }

  @Test("a COPY that fails stores nothing and leaves the connection usable")
  func failingCopy() async throws {
    struct Stop: Error {}
    let connection = try await connect()
    try await connection.execute(script: "CREATE TABLE t (id integer PRIMARY KEY)")
    let broken = AsyncThrowingStream<Data, any Error> { continuation in
      continuation.yield(Data("1\n".utf8))
      continuation.finish(throwing: Stop())
    }
    await #expect(throws: Stop.self) {
      try await connection.copyIn("COPY t FROM STDIN", broken)
    }
    let wrong = AsyncStream { continuation in
      continuation.yield(Data("1\nx\n".utf8))
      continuation.finish()
    }
    await #expect {
      try await connection.copyIn("COPY t FROM STDIN", wrong)
    } throws: { ($0 as? PostgresError)?.sqlState?.errorClass == .dataException }
    await #expect {
      try await connection.copyIn("SELECT 1", wrong)
    } throws: { ($0 as? PostgresError)?.code == .misuse }
    await #expect {
      try await connection.copyOut("COPY missing TO STDOUT") { _ in }
    } throws: { ($0 as? PostgresError)?.sqlState == .undefinedTable }
    await #expect(throws: Stop.self) {
      try await connection.copyOut("COPY (SELECT generate_series(1, 1000000)) TO STDOUT") { _ in
        throw Stop()
      }
    }
    #expect(try await connection.query("SELECT FROM t").isEmpty)
    await connection.close()
  }

  @Test("notifications arrive in order, also those that came with a statement")
  func listen() async throws {
    let configuration = try await freshDatabase()
    let listener = try await Connection.connect(configuration, logger: TestServer.logger)
    let speaker = try await Connection.connect(configuration, logger: TestServer.logger)
    try await listener.listen("news \"quoted\"")
    for index in 0..<100 {
      try await speaker.query("SELECT pg_notify($1, $2)", "news \"quoted\"", "\(index)")
      if index == 50 { try await listener.query("SELECT 1") }
    }
    let payloads = try await withLimit {
      var payloads: [String] = []
      while payloads.count < 100 { payloads.append(try await listener.nextNotification().payload) }
      return payloads
    }
    #expect(payloads == (0..<100).map { "\($0)" })
    await listener.close()
    await speaker.close()
  }

  @Test("a notification that comes with the answer to a statement is not waited for in vain")
  func withAnswer() async throws {
    let connection = try await connect()
    try await connection.listen("news")
    // The session's own words come before the end of the answer.
    try await connection.query("SELECT pg_notify('news', 'mine')")
    let notification = try await withLimit { try await connection.nextNotification() }
    #expect(notification.payload == "mine")
    await connection.close()
  }

  @Test("waiting for a notification ends with the task, or with the session")
  func endOfListening() async throws {
    let configuration = try await freshDatabase()
    let listener = try await Connection.connect(configuration, logger: TestServer.logger)
    try await listener.listen("news")
    let waiting = Task { try await listener.nextNotification() }
    while await listener.isUsable { await Task.yield() }
    waiting.cancel()
    await #expect {
      try await withLimit { try await waiting.value }
    } throws: { ($0 as? PostgresError)?.code == .cancelled }
    #expect(await listener.isUsable)

    let speaker = try await Connection.connect(configuration, logger: TestServer.logger)
    let processID = await listener.serverProcessID
    let again = Task {
      for try await notification in listener.notifications(on: "news") {
        return notification.payload
      }
      return ""
    }
    var payload = ""
    while payload.isEmpty {  // it listens already, so the first notification arrives
      try await speaker.query("SELECT pg_notify('news', 'hello')")
      payload = try await withLimit { try await again.value }
    }
    #expect(payload == "hello")
    let lost = Task { () -> Int in
      var count = 0
      while true {
        _ = try await listener.nextNotification()
        count += 1
      }
    }
    try await speaker.query("SELECT pg_terminate_backend($1)", processID)
    await #expect {
      try await withLimit { try await lost.value }
    } throws: { ($0 as? PostgresError)?.isConnectionLoss == true }
    await speaker.close()
  }
}
