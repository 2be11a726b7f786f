/// Why the store could not do what it was asked.
public struct JobStoreError: Error, Sendable, CustomStringConvertible {
  public enum Code: String, Sendable {
    /// The database cannot be reached, or went away: nothing is known to be stored. Try again.
    case unavailable
    /// The call was cancelled.
    case cancelled
    /// A limit of the store was reached.
    case exhausted
    /// The request contradicts the store's rules; retrying will not help.
    case invalid
    /// The store answered something unexpected: a defect, or a damaged database.
    case `internal`
  }

  public var code: Code
  /// What happened and what to do about it. Holds no prompt, output or parameter.
  public var message: String
  /// PostgreSQL's error code, where it gave one.
  public var sqlState: String?
  public var cause: (any Error)?

  public init(
    code: Code, message: String, sqlState: String? = nil, cause: (any Error)? = nil
  ) {
    self.code = code
    self.message = message
    self.sqlState = sqlState
    self.cause = cause
  }

  public var description: String {
    "\(code.rawValue): \(message)" + (sqlState.map { " (SQLSTATE \($0))" } ?? "")
  }
}
