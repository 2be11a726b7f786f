import CLibPQ
import Logging

extension Connection {
  /// Runs the body in a transaction: committed when it returns, rolled back when it throws.
  ///
  /// - Throws: what the body throws, or the `PostgresError` of the commit. When the connection
  ///   broke during the commit it is not known whether it happened.
  @discardableResult
  public func transaction<Value: Sendable>(
    _ mode: TransactionMode = .readCommitted,
    _ body: @Sendable (Connection) async throws -> Value
  ) async throws -> Value {
    try await query(mode.begin)
    do {
      let value = try await body(self)
      try await query("COMMIT")
      return value
    } catch {
      try await rollBack()
      throw error
    }
  }

  /// Rolls back what is open, also when the task is cancelled; a connection that cannot is closed.
  private func rollBack() async throws {
    guard !isBroken, handle.isOpen, PQtransactionStatus(handle.pointer) != PQTRANS_IDLE else {
      return
    }
    guard !Task.isCancelled else {
      // A cancelled task cannot wait for an answer; ending the session rolls back as surely.
      return close()
    }
    do {
      try await query("ROLLBACK")
    } catch {
      logger.debug("rollback failed, closing the connection", metadata: ["error": "\(error)"])
      close()
    }
  }

  /// Runs a script of several statements without parameters, such as a migration.
  ///
  /// Outside of a transaction the whole script is one.
  public func execute(script: String) async throws {
    try await exchange { connection in
      guard PQsendQuery(connection.handle.pointer, script) == 1 else { throw connection.lost() }
      try await connection.flush()
      var failure: PostgresError?
      while let result = try await connection.nextResult() {
        switch result.status {
        case PGRES_COMMAND_OK, PGRES_TUPLES_OK, PGRES_EMPTY_QUERY: break
        default: failure = failure ?? connection.described(result.error)
        }
      }
      if let failure { throw failure }
    }
  }
}
