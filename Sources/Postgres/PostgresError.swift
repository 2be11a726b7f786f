/// Why something asked of PostgreSQL did not happen.
///
/// The description holds no SQL parameter: the server's detail line, which quotes values, is never
/// kept, and the message of a data exception, which may quote its input, is replaced.
public struct PostgresError: Error, Sendable, CustomStringConvertible {
  public enum Code: String, Sendable {
    /// No connection could be made.
    case cannotConnect
    /// The connection broke: what was under way may or may not have happened.
    case connectionLost
    /// The server refused or failed a statement; see `sqlState`.
    case server
    /// The caller's task was cancelled, and with it the statement.
    case cancelled
    /// A wait reached its limit.
    case timedOut
    /// A limit of this client was reached, such as the pool's number of waiters.
    case exhausted
    /// The pool or connection was closed.
    case closed
    /// A value was not of the type asked for.
    case decoding
    /// The call contradicts the rules of the connection, such as two statements at once.
    case misuse
    /// The private server could not be set up, started or stopped.
    case privateServer
  }

  public var code: Code
  /// What happened and what to do about it.
  public var message: String
  /// The server's code, where the server spoke.
  public var sqlState: SQLState?
  /// The constraint that was violated, where there is one.
  public var constraint: String?
  public var cause: (any Error)?

  public init(
    code: Code, message: String, sqlState: SQLState? = nil, constraint: String? = nil,
    cause: (any Error)? = nil
  ) {
    self.code = code
    self.message = message
    self.sqlState = sqlState
    self.constraint = constraint
    self.cause = cause
  }

  /// Whether the same transaction may succeed when it is run again from its start.
  public var isRetryable: Bool {
    if isConnectionLoss { return true }
    switch sqlState {
    case .serializationFailure, .deadlockDetected, .lockNotAvailable, .tooManyConnections:
      return true
    default: return false
    }
  }

  /// Whether the connection is gone, the server is going or coming, or it takes no writes.
  public var isConnectionLoss: Bool {
    switch code {
    case .cannotConnect, .connectionLost: return true
    default: break
    }
    switch sqlState {
    case .adminShutdown, .crashShutdown, .cannotConnectNow, .readOnlyTransaction: return true
    case let state?: return state.errorClass == .connectionException
    case nil: return false
    }
  }

  public var description: String {
    var text = "\(code.rawValue): \(message)"
    if let sqlState { text += " (SQLSTATE \(sqlState))" }
    if let constraint { text += " (constraint \(constraint))" }
    return text
  }
}
