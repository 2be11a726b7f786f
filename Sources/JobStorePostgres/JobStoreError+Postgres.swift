import JobQueue
import Postgres

extension JobStoreError {
  /// What an error of the database means to the store's user.
  init(mapping error: any Error) {
    switch error {
    case let error as JobStoreError: self = error
    case let error as PostgresError:
      self.init(
        code: Code(error), message: error.message, sqlState: error.sqlState?.rawValue,
        cause: error)
    case is CancellationError:
      self.init(code: .cancelled, message: "the task was cancelled")
    default:
      self.init(code: .internal, message: "unexpected \(type(of: error))", cause: error)
    }
  }
}

extension JobStoreError.Code {
  init(_ error: PostgresError) {
    if error.isConnectionLoss {
      self = .unavailable
      return
    }
    switch error.code {
    case .cancelled: self = .cancelled
    case .exhausted: self = .exhausted
    case .timedOut, .closed, .cannotConnect, .connectionLost: self = .unavailable
    case .decoding, .misuse, .privateServer: self = .internal
    case .server:
      switch error.sqlState?.errorClass {
      case .transactionRollback, .operatorIntervention: self = .unavailable
      case .insufficientResources, .programLimitExceeded: self = .exhausted
      case .dataException, .integrityConstraintViolation: self = .invalid
      default: self = error.isRetryable ? .unavailable : .internal
      }
    }
  }
}
