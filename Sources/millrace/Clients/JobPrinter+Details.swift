import Foundation
import Messages
import SwiftProtobuf

extension JobPrinter {
  /// All about a job but its text, a line each.
  static func details(of job: Millrace_V1_Job) -> String {
    var lines = [("id", job.id), ("model", job.spec.model), ("state", job.state.word)]
    if job.finishReason != .unspecified { lines.append(("finish reason", job.finishReason.word)) }
    if job.hasError { lines.append(("error", job.error.message)) }
    if job.spec.sampling.n > 1 { lines.append(("outputs", "\(job.spec.sampling.n)")) }
    lines.append(("attempts", "\(job.attempt) of \(job.spec.maxAttempts)"))
    lines.append(("priority", "\(job.spec.priority)"))
    if !job.requestID.isEmpty { lines.append(("request id", job.requestID)) }
    let labels = job.spec.labels.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
    if !labels.isEmpty { lines.append(("labels", labels.joined(separator: ", "))) }
    lines.append(
      ("tokens", "\(job.usage.promptTokens) of prompt, \(job.usage.outputTokens) of output"))
    lines += times(of: job).map { ($0.name, format($0.time)) }
    lines.append(("summary", timings(of: job)))
    var table = Table()
    for (name, value) in lines { table.add(name, value) }
    return table.text
  }

  private static func times(
    of job: Millrace_V1_Job
  ) -> [(name: String, time: Google_Protobuf_Timestamp)] {
    [
      ("created", job.hasCreateTime, job.createTime),
      ("run after", job.spec.hasRunAfter, job.spec.runAfter),
      ("deadline", job.spec.hasDeadline, job.spec.deadline),
      ("started", job.hasStartTime, job.startTime),
      ("first token", job.hasFirstTokenTime, job.firstTokenTime),
      ("finished", job.hasFinishTime, job.finishTime),
    ].filter(\.1).map { ($0.0, $0.2) }
  }

  private static func format(_ time: Google_Protobuf_Timestamp) -> String {
    time.date.formatted(Date.ISO8601FormatStyle(includingFractionalSeconds: true))
  }
}
