import JobQueue
import Messages
import RPC
import SwiftProtobuf

/// The errors that the services answer with: a `google.rpc.Status` with one `ErrorInfo`, and a
/// `BadRequest` or `RetryInfo` where they help (https://google.aip.dev/193).
enum ServiceError {
  static let domain = "millrace"

  static func invalid(_ violations: [FieldViolation]) -> RPCError {
    var details = Google_Rpc_BadRequest()
    details.fieldViolations = violations.map { violation in
      var field = Google_Rpc_BadRequest.FieldViolation()
      field.field = violation.field
      field.description_p = violation.description
      return field
    }
    let list = violations.prefix(3).map { "\($0.field) \($0.description)" }
    let more = violations.count > 3 ? "; and \(violations.count - 3) more" : ""
    return make(
      .invalidArgument, "INVALID_FIELDS", list.joined(separator: "; ") + more, details: [details])
  }

  static func invalid(_ field: String, _ description: String) -> RPCError {
    invalid([FieldViolation(field: field, description: description)])
  }

  static func jobNotFound(_ id: String) -> RPCError {
    make(.notFound, "JOB_NOT_FOUND", "there is no job \(id.prefix(64))", ["id": "\(id.prefix(64))"])
  }

  static func outputLost(_ id: String) -> RPCError {
    make(
      .dataLoss, "OUTPUT_LOST",
      "the store has lost output of job \(id) that follows what was sent; submit the job again",
      ["id": id])
  }

  static func modelNotFound(_ name: String) -> RPCError {
    make(
      .notFound, "MODEL_NOT_FOUND", "model \(name.prefix(64)) is not served here; see ListModels",
      ["model": "\(name.prefix(64))"])
  }

  static func executorNotFound(_ id: String) -> RPCError {
    make(
      .notFound, "EXECUTOR_NOT_FOUND", "there is no executor \(id.prefix(64)); see ListExecutors",
      ["executor": "\(id.prefix(64))"])
  }

  static let malformed = make(
    .invalidArgument, "MALFORMED_REQUEST", "the request is not a message of the method's type")

  static let draining = make(
    .unavailable, "DRAINING",
    "this server is shutting down; the job is kept: watch it again from the next token index",
    retryAfter: 1)

  static func store(_ error: JobStoreError) -> RPCError {
    switch error.code {
    case .unavailable:
      make(
        .unavailable, "DATABASE_UNAVAILABLE",
        "the database cannot be reached now; nothing is known to be stored, so try again with the "
          + "same request_id", retryAfter: 1, cause: error)
    case .cancelled: make(.cancelled, "CANCELLED", "the call was cancelled", cause: error)
    case .exhausted:
      make(.resourceExhausted, "EXHAUSTED", error.message, retryAfter: 10, cause: error)
    case .invalid: make(.invalidArgument, "REFUSED", error.message, cause: error)
    case .internal:
      make(
        .internal, "INTERNAL", "the store failed in an unexpected way; the server's log says how",
        cause: error)
    }
  }

  /// The form in which a job reports its own failure.
  static func status(_ failure: JobFailure) -> Google_Rpc_Status {
    let code: StatusCode =
      switch failure.code {
      case .invalidArgument: .invalidArgument
      case .modelChanged: .failedPrecondition
      case .attemptsExhausted: .aborted
      case .engine: .internal
      case .corrupt: .dataLoss
      }
    return status(code, failure.code.rawValue.uppercased(), failure.message)
  }

  // MARK: Making

  private static func make(
    _ code: StatusCode, _ reason: String, _ message: String, _ metadata: [String: String] = [:],
    details: [any Message] = [], retryAfter seconds: Int64? = nil, cause: (any Error)? = nil
  ) -> RPCError {
    var details = details
    if let seconds {
      var retry = Google_Rpc_RetryInfo()
      retry.retryDelay = Google_Protobuf_Duration(seconds: seconds)
      details.append(retry)
    }
    let status = status(code, reason, message, metadata, details: details)
    let bytes: [UInt8]? = try? status.serializedBytes()
    return RPCError(code, message, details: bytes, cause: cause)
  }

  private static func status(
    _ code: StatusCode, _ reason: String, _ message: String, _ metadata: [String: String] = [:],
    details: [any Message] = []
  ) -> Google_Rpc_Status {
    var info = Google_Rpc_ErrorInfo()
    info.reason = reason
    info.domain = domain
    info.metadata = metadata
    var status = Google_Rpc_Status()
    status.code = code.rawValue
    status.message = message
    status.details = ([info] + details).compactMap { try? Google_Protobuf_Any(message: $0) }
    return status
  }
}
