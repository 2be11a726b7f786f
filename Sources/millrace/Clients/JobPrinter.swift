import ArgumentParser
import Foundation
import Messages
import SwiftProtobuf

/// Shows a job's events: text as it comes, then a line of timings; or each event as JSON.
///
/// Of several outputs the first one's text is shown as it comes, and the others' at the job's end.
struct JobPrinter {
  var json: Bool

  /// Watches a job to its end. Ctrl-C leaves the job running and says how to watch on.
  func follow(_ id: String, from index: Int64, _ client: JobClient) async throws {
    let command = "millrace watch \(id)\(client.flags)"
    let interruption = Interruption(message: "The job goes on. Watch it again: \(command)")
    defer { interruption.cancel() }
    var ended: Millrace_V1_Job?
    var others: [Int32: String] = [:]
    try await client.follow(id, from: index, again: command) { event in
      if json { Output.line(try event.jsonLine()) }
      switch event.event {
      case .tokens(let tokens):
        if tokens.output > 0 {
          others[tokens.output, default: ""] += tokens.text
        } else if !json {
          Output.text(tokens.text)
        }
      case .finished(let job): ended = job
      case .state, nil: break
      }
    }
    guard let ended else { return }
    if !json {
      Output.line("")
      Self.showAlternatives(of: ended.with(others))
      Output.remark(Self.timings(of: ended))
    }
    guard ended.state == .succeeded else {
      let reason = ended.hasError ? ended.error.message : "by its owner or its deadline"
      throw CommandFailure("the job ended as \(ended.state.word): \(reason)")
    }
  }

  /// The texts of a job's outputs after the first, each under a heading.
  static func showAlternatives(of job: Millrace_V1_Job) {
    let count = job.alternatives.count + 1
    for (index, output) in job.alternatives.enumerated() {
      let end = output.finishReason == .unspecified ? "" : " (\(output.finishReason.word))"
      Output.line("— output \(index + 2) of \(count)\(end)")
      Output.line(output.text)
    }
  }

  /// One line of what the job took, all from the times that the service stored.
  static func timings(of job: Millrace_V1_Job) -> String {
    var parts = ["\(job.state.word)"]
    if job.finishReason != .unspecified { parts[0] += " (\(job.finishReason.word))" }
    parts.append("\(job.usage.outputTokens) tokens")
    if job.hasStartTime {
      parts.append("queue wait \(milliseconds(job.createTime, job.startTime)) ms")
    }
    if job.hasFirstTokenTime {
      parts.append(
        "time to first token \(milliseconds(job.createTime, job.firstTokenTime)) ms")
    }
    if job.hasStartTime, job.hasFinishTime {
      let seconds = job.finishTime.date.timeIntervalSince(job.startTime.date)
      if seconds > 0 {
        let rate = Double(job.usage.outputTokens) / seconds
        parts.append("\(String(format: "%.1f", rate)) tokens/s")
      }
    }
    return parts.joined(separator: " · ")
  }

  private static func milliseconds(
    _ start: Google_Protobuf_Timestamp, _ end: Google_Protobuf_Timestamp
  ) -> String {
    String(format: "%.1f", end.date.timeIntervalSince(start.date) * 1_000)
  }
}

extension Millrace_V1_Job {
  /// The job with the texts of its outputs after the first, by their numbers.
  fileprivate func with(_ texts: [Int32: String]) -> Self {
    var job = self
    for (output, text) in texts.sorted(by: { $0.key < $1.key }) {
      while job.alternatives.count < output { job.alternatives.append(Millrace_V1_Output()) }
      job.alternatives[Int(output) - 1].text = text
    }
    return job
  }
}

extension Millrace_V1_JobState {
  /// The states that words of the command line name, with commas between them: `running,failed`
  /// or, as in JSON, `JOB_STATE_RUNNING`.
  static func named(_ text: String) throws -> [Self] {
    try text.split(separator: ",", omittingEmptySubsequences: false).map { piece in
      let word = piece.lowercased().replacing("job_state_", with: "")
      let named = allCases.first { $0 != .unspecified && $0.word == word }
      guard let named else { throw ValidationError("\(piece) is no state of a job") }
      return named
    }
  }

  var word: String {
    switch self {
    case .queued: "queued"
    case .running: "running"
    case .succeeded: "succeeded"
    case .failed: "failed"
    case .cancelled: "cancelled"
    case .expired: "expired"
    case .unspecified, .UNRECOGNIZED: "unknown"
    }
  }
}

extension Millrace_V1_FinishReason {
  var word: String {
    switch self {
    case .stop: "end of text"
    case .stopString: "stop string"
    case .length: "length"
    case .unspecified, .UNRECOGNIZED: "unknown"
    }
  }
}
