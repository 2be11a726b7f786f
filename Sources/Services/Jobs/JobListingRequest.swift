import Foundation
import JobQueue
import Messages

/// A listing as the client asks for it, with page tokens that only fit the listing they come from.
struct JobListingRequest {
  let filter: JobFilter
  let page: PageRequest

  /// Far more than there are states.
  private static let maxStates = 64

  init(_ request: Millrace_V1_ListJobsRequest, tenant: String) throws {
    // First what bounds the work: the rest looks at each state and label.
    var violations = Self.oversized(request)
    guard violations.isEmpty else { throw ServiceError.invalid(violations) }
    var states: Set<JobState> = []
    for (index, state) in request.states.enumerated() {
      if let state = JobState(state) {
        states.insert(state)
      } else {
        violations.append(
          FieldViolation(field: "states[\(index)]", description: "is not a state of a job"))
      }
    }
    filter = JobFilter(
      tenant: tenant, states: states, model: request.model.isEmpty ? nil : request.model,
      labels: request.labels,
      createdAfter: request.hasCreatedAfter
        ? Timestamp(request.createdAfter, "created_after", &violations) : nil,
      createdBefore: request.hasCreatedBefore
        ? Timestamp(request.createdBefore, "created_before", &violations) : nil)
    if request.pageSize < 0 {
      violations.append(FieldViolation(field: "page_size", description: "must not be negative"))
    }
    let holdsNull =
      request.model.utf8.contains(0)
      || request.labels.contains { $0.key.utf8.contains(0) || $0.value.utf8.contains(0) }
    if holdsNull {
      violations.append(
        FieldViolation(field: "model or labels", description: "must not hold U+0000"))
    }
    var cursor: JobCursor?
    if !request.pageToken.isEmpty {
      cursor = Self.cursor(in: request.pageToken, filter: filter)
      if cursor == nil {
        violations.append(
          FieldViolation(
            field: "page_token",
            description: "is not from an earlier answer to the same request; start without one"))
      }
    }
    guard violations.isEmpty else { throw ServiceError.invalid(violations) }
    let size = request.pageSize == 0 ? JobLimits.defaultPageSize : Int(request.pageSize)
    page = PageRequest(size: min(size, JobLimits.pageSize), after: cursor)
  }

  private static func oversized(_ request: Millrace_V1_ListJobsRequest) -> [FieldViolation] {
    var violations: [FieldViolation] = []
    if request.states.count > maxStates {
      violations.append(
        FieldViolation(
          field: "states", description: "has \(request.states.count); the limit is \(maxStates)"))
    }
    if request.labels.count > JobLimits.labels {
      violations.append(
        FieldViolation(
          field: "labels",
          description: "has \(request.labels.count) entries; the limit is \(JobLimits.labels)"))
    }
    if request.model.utf8.count > JobLimits.modelNameBytes {
      violations.append(
        FieldViolation(
          field: "model", description: "is over \(JobLimits.modelNameBytes) bytes long"))
    }
    return violations
  }

  /// The token with which the client asks for the page after this place.
  func token(_ cursor: JobCursor) -> String {
    let text =
      "1:\(cursor.createTime.microsecondsSinceEpoch):\(cursor.id):\(Self.fingerprint(filter))"
    return Data(text.utf8).base64EncodedString()
  }

  private static func cursor(in token: String, filter: JobFilter) -> JobCursor? {
    guard token.utf8.count < 512, let data = Data(base64Encoded: token) else { return nil }
    let parts = String(decoding: data, as: UTF8.self).split(separator: ":")
    guard parts.count == 4, parts[0] == "1", let time = Int64(parts[1]),
      let id = JobID(String(parts[2])), parts[3] == fingerprint(filter)
    else { return nil }
    return JobCursor(createTime: Timestamp(microsecondsSinceEpoch: time), id: id)
  }

  /// A short mark of the filter (FNV-1a), to notice a token that is used with another one.
  private static func fingerprint(_ filter: JobFilter) -> String {
    let parts: [String] =
      [filter.tenant ?? "", filter.model ?? ""]
      + filter.states.map(\.rawValue).sorted()
      + filter.labels.map { "\($0.key)=\($0.value)" }.sorted()
      + [filter.createdAfter, filter.createdBefore].map {
        $0.map { "\($0.microsecondsSinceEpoch)" } ?? "-"
      }
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    for byte in parts.joined(separator: "\u{1f}").utf8 {
      hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3
    }
    return String(hash, radix: 16)
  }
}
