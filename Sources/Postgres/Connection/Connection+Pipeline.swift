import CLibPQ

extension Connection {
  /// Runs one statement.
  @discardableResult
  public func query(_ statement: Statement) async throws -> Rows {
    let results = try await pipeline([statement])
    guard let rows = results.first else { throw Self.missingResult }
    return rows
  }

  /// Runs one statement from its text and parameters.
  @discardableResult
  public func query(_ sql: String, _ parameters: any PostgresEncodable...) async throws -> Rows {
    try await query(Statement(sql, parameters: parameters))
  }

  /// Sends many statements and reads all their results in one round trip.
  ///
  /// Outside of a transaction they form one: all happen or none. The first error ends the rest.
  /// - Throws: the first statement's error.
  public func pipeline(_ statements: [Statement]) async throws -> [Rows] {
    guard !statements.isEmpty else { return [] }
    return try await exchange { try await $0.converse(statements) }
  }

  /// Runs the statements as one explicit transaction, BEGIN and COMMIT included, in one round trip.
  public func transaction(
    _ statements: [Statement], _ mode: TransactionMode = .readCommitted
  ) async throws -> [Rows] {
    try await exchange { connection in
      do {
        let results = try await connection.converse(
          [Statement(mode.begin)] + statements + [Statement("COMMIT")])
        return Array(results.dropFirst().dropLast())
      } catch {
        if PQtransactionStatus(connection.handle.pointer) != PQTRANS_IDLE, !connection.isBroken {
          _ = try await connection.converse([Statement("ROLLBACK")])
        }
        throw error
      }
    }
  }

  static var missingResult: PostgresError {
    PostgresError(code: .misuse, message: "the server sent no result for a statement")
  }

  /// Sends and reads; only within an exchange.
  func converse(_ statements: [Statement]) async throws -> [Rows] {
    guard PQenterPipelineMode(handle.pointer) == 1 else { throw lost() }
    let steps = try send(statements)
    guard PQpipelineSync(handle.pointer) == 1 else { throw lost() }
    try await flush()

    var results: [Rows] = []
    results.reserveCapacity(statements.count)
    var failure: PostgresError?
    for step in steps {
      guard let result = try await nextResult() else { throw lost() }
      // Each step's results end with a null, also within a pipeline.
      while try await nextResult() != nil {}
      switch result.status {
      case PGRES_TUPLES_OK, PGRES_COMMAND_OK:
        switch step {
        case .execute: results.append(Rows(result))
        case .prepare(let key, let name): prepared[key] = name
        }
      case PGRES_PIPELINE_ABORTED: break
      default: failure = failure ?? described(result.error, isBegin: isBegin(step))
      }
    }
    guard let sync = try await nextResult(), sync.status == PGRES_PIPELINE_SYNC,
      PQexitPipelineMode(handle.pointer) == 1
    else { throw lost() }
    if let failure { throw failure }
    return results
  }

  /// How often in a long pipeline the server is asked to send what it has answered. In a short one
  /// it is after every statement.
  private static let flushesPerPipeline = 16

  /// What one answer of the server belongs to.
  private enum Step {
    case prepare(Statement.Key, name: String)
    case execute(Statement.Key)
  }

  private func isBegin(_ step: Step) -> Bool {
    guard case .execute(let key) = step else { return false }
    return TransactionMode.allCases.contains { $0.begin == key.sql }
  }

  /// Puts the statements into the connection's buffer.
  ///
  /// A server keeps its answers back until it is asked for them, or has many. It is asked on the way,
  /// so that it is not taken for silent when the statements take long together, but none too long.
  private func send(_ statements: [Statement]) throws -> [Step] {
    var steps: [Step] = []
    var announced: [Statement.Key: String] = [:]
    let statementsPerFlush = max(statements.count / Self.flushesPerPipeline, 1)
    for (index, statement) in statements.enumerated() {
      if index > 0, index % statementsPerFlush == 0 {
        guard PQsendFlushRequest(handle.pointer) == 1 else { throw lost() }
      }
      let key = statement.key
      if let name = prepared[key] ?? announced[key] {
        try sendExecution(of: statement, name: name)
      } else if prepared.count + announced.count < Self.maxPreparedStatements {
        let name = "s\(prepared.count + announced.count)"
        let types = statement.types.map(\.rawValue)
        guard PQsendPrepare(handle.pointer, name, statement.sql, Int32(types.count), types) == 1
        else { throw lost() }
        steps.append(.prepare(key, name: name))
        announced[key] = name
        try sendExecution(of: statement, name: name)
      } else {
        try sendExecution(of: statement, name: nil)
      }
      steps.append(.execute(key))
    }
    return steps
  }

  private func sendExecution(of statement: Statement, name: String?) throws {
    let count = Int32(statement.values.count)
    let lengths = statement.values.map { Int32($0?.count ?? 0) }
    let formats = [Int32](repeating: 1, count: statement.values.count)
    // One buffer for all values, so that their addresses stay valid together.
    var bytes: [UInt8] = [0]  // never empty: a null address would mean NULL
    for value in statement.values { bytes += value ?? [] }
    let sent = bytes.withUnsafeBytes { buffer -> Int32 in
      var offset = 1
      let pointers = statement.values.map { value -> UnsafePointer<CChar>? in
        guard let value else { return nil }
        defer { offset += value.count }
        return buffer.baseAddress?.advanced(by: offset - (value.isEmpty ? 1 : 0))
          .assumingMemoryBound(to: CChar.self)
      }
      if let name {
        return PQsendQueryPrepared(handle.pointer, name, count, pointers, lengths, formats, 1)
      }
      return PQsendQueryParams(
        handle.pointer, statement.sql, count, statement.types.map(\.rawValue), pointers, lengths,
        formats, 1)
    }
    guard sent == 1 else { throw lost() }
  }

  /// What an error of the server means.
  ///
  /// A server that takes no writes any more, because another has its place or an administrator says
  /// so, is as good as gone: the connection is given up, and the next one may lead to the new one. A
  /// standby says so already at the beginning of a transaction that may write.
  ///
  /// A cancelled statement whose task goes on was ended by the server's own time limit.
  func described(_ error: PostgresError, isBegin: Bool = false) -> PostgresError {
    var error = error
    if isBegin, error.sqlState == .featureNotSupported { error.sqlState = .readOnlyTransaction }
    if error.sqlState == .readOnlyTransaction {
      isBroken =
        isBroken || isBegin || parameter("in_hot_standby") == "on"
        || parameter("default_transaction_read_only") == "on"
    }
    if error.code == .connectionLost { isBroken = true }
    guard error.code == .cancelled, interruption?.requestTime == nil else { return error }
    error.code = .timedOut
    return error
  }
}

/// How a transaction sees the others.
public enum TransactionMode: CaseIterable, Sendable {
  case readCommitted
  /// One snapshot for all statements, which may not write.
  case snapshot

  var begin: String {
    switch self {
    case .readCommitted: "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
    case .snapshot: "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
    }
  }
}
