import JobQueue
import Messages
import RPC
import SwiftProtobuf

/// The errors that the services answer with: a `google.rpc.Status` with one `ErrorInfo`, and a
/// `BadRequest` or `RetryInfo` where they help (https://google.aip.dev/193).
enum ServiceError {
  static let domain = "millrace"

  // Details and message travel in the trailers, of which clients accept 8 KiB: what is longer
  // would reach them as another error altogether. Details grow by a third on the way.
  private static let violationsBytes = 3 << 10
  private static let violationBytes = 512
  private static let messageBytes = 512
  /// What a client's own words may take in an error.
  private static let quotedBytes = 64

  /// Names the bad fields, as many as fit; the `omitted_violations` of the `ErrorInfo` counts the
  /// others.
  static func invalid(_ violations: [FieldViolation]) -> RPCError {
    var details = Google_Rpc_BadRequest()
    var bytes = 0
    for violation in violations {
      var field = Google_Rpc_BadRequest.FieldViolation()
      field.field = violation.field.cut(toBytes: violationBytes)
      field.description_p = violation.description.cut(toBytes: violationBytes)
      bytes += field.field.utf8.count + field.description_p.utf8.count + 8
      guard bytes <= violationsBytes else { break }
      details.fieldViolations.append(field)
    }
    let omitted = violations.count - details.fieldViolations.count
    let list = details.fieldViolations.prefix(3).map { "\($0.field) \($0.description_p)" }
    let more = violations.count - list.count
    let suffix = more > 0 ? "; and \(more) more" : ""
    let message =
      list.joined(separator: "; ").cut(toBytes: messageBytes - suffix.utf8.count) + suffix
    return make(
      .invalidArgument, "INVALID_FIELDS", message,
      omitted > 0 ? ["omitted_violations": "\(omitted)"] : [:], details: [details])
  }

  static func invalid(_ field: String, _ description: String) -> RPCError {
    invalid([FieldViolation(field: field, description: description)])
  }

  static func jobNotFound(_ id: String) -> RPCError {
    let id = id.cut(toBytes: quotedBytes)
    return make(.notFound, "JOB_NOT_FOUND", "there is no job \(id)", ["id": id])
  }

  static func outputLost(_ id: String) -> RPCError {
    make(
      .dataLoss, "OUTPUT_LOST",
      "the store has lost output of job \(id) that follows what was sent; submit the job again",
      ["id": id])
  }

  static func modelNotFound(_ name: String) -> RPCError {
    let name = name.cut(toBytes: quotedBytes)
    return make(
      .notFound, "MODEL_NOT_FOUND", "model \(name) is not served here; see ListModels",
      ["model": name])
  }

  static func executorNotFound(_ id: String) -> RPCError {
    let id = id.cut(toBytes: quotedBytes)
    return make(
      .notFound, "EXECUTOR_NOT_FOUND", "there is no executor \(id); see ListExecutors",
      ["executor": id])
  }

  static let malformed = make(
    .invalidArgument, "MALFORMED_REQUEST", "the request is not a message of the method's type")

  static func tooLarge(_ bytes: Int, limit: Int) -> RPCError {
    make(
      .resourceExhausted, "REQUEST_TOO_LARGE",
      "the request has \(bytes) bytes; this method's limit is \(limit)")
  }

  static let busyChecking = make(
    .resourceExhausted, "BUSY",
    "the prompts of other submissions wait to be checked; try again, or submit less at once",
    retryAfter: 1)

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
