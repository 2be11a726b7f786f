import Messages
import RPC
import SwiftProtobuf

/// Submissions as JSON, one a line; empty lines are skipped.
struct SubmissionFile {
  private struct Entry {
    let line: Int
    let request: Millrace_V1_SubmitJobRequest
  }

  /// What one call carries at most. The service takes 1,000 requests and 16 MiB.
  private static let maxCount = 1_000
  private static let maxBytes = 8 << 20

  private let path: String
  private let entries: [Entry]

  /// - Parameter defaults: what the submissions do not say themselves.
  /// - Throws: `CommandFailure`, which names the first line that is wrong.
  init(_ path: String, defaults: Millrace_V1_SubmitJobRequest) throws(CommandFailure) {
    self.path = path
    let text = try PromptArgument.file(path, "--batch")
    var entries: [Entry] = []
    for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated()
    where line.contains(where: { !$0.isWhitespace }) {
      do {
        let request = try Millrace_V1_SubmitJobRequest(jsonString: String(line))
        entries.append(Entry(line: index + 1, request: try request.filled(from: defaults)))
      } catch {
        throw CommandFailure(
          "line \(index + 1) of --batch \(path) is no SubmitJobRequest in JSON (\(error)); it must "
            + #"be like {"spec": {"model": "story", "prompt": "Once"}, "request_id": "1"}"#)
      }
    }
    guard !entries.isEmpty else {
      throw CommandFailure("--batch \(path) holds no submission; write one JSON object a line")
    }
    self.entries = entries
  }

  /// Submits all, in as few calls as they fit in, and shows each job in the order of the lines.
  func submit(_ client: JobClient, show: (Millrace_V1_Job) throws -> Void) async throws {
    var bar = ProgressBar("Submitting", total: entries.count)
    defer { bar.finish() }
    var done = 0
    while done < entries.count {
      let part = nextPart(from: done)
      var request = Millrace_V1_BatchSubmitJobsRequest()
      request.requests = part.map(\.request)
      do {
        let answer: Millrace_V1_BatchSubmitJobsResponse = try await client.call(
          "JobService/BatchSubmitJobs", request)
        for job in answer.jobs { try show(job) }
      } catch let failure as CallFailure {
        throw CommandFailure("\(failure)\n\(consequence(of: failure, part, done: done))")
      }
      done += part.count
      bar.update(done, note: "\(done) of \(entries.count)")
    }
  }

  /// What a failed call means for the submissions before, in, and after it.
  private func consequence(
    of failure: CallFailure, _ part: ArraySlice<Entry>, done: Int
  ) -> String {
    let (first, last) = (part[part.startIndex].line, part[part.endIndex - 1].line)
    switch failure.code {
    case .invalidArgument, .resourceExhausted:
      let before = done == 0 ? "nothing is" : "the \(done) submissions before it are"
      return "  requests[0] is line \(first) of \(path); \(before) submitted"
    default:
      var sentences = [
        "  Lines \(first) to \(last) of \(path) may or may not be submitted; "
          + "only those with a request_id are safe to submit again"
      ]
      if done > 0 { sentences.append("The \(done) submissions before them are submitted") }
      if part.endIndex < entries.count { sentences.append("Those after them are not") }
      return sentences.joined(separator: ". ")
    }
  }

  private func nextPart(from start: Int) -> ArraySlice<Entry> {
    var end = start
    var bytes = 0
    while end < entries.count, end - start < Self.maxCount {
      let size = (try? entries[end].request.serializedData().count) ?? 0
      guard end == start || bytes + size <= Self.maxBytes else { break }
      bytes += size
      end += 1
    }
    return entries[start..<end]
  }
}

extension Millrace_V1_SubmitJobRequest {
  /// The request with what it does not say itself taken from another.
  ///
  /// That is protobuf's merge, but for what would be mixed: a time or a list is taken as a whole, a
  /// line's strategy stands against one of the flags, and its temperature against their greedy one.
  fileprivate func filled(from defaults: Self) throws -> Self {
    var filled = defaults
    if spec.hasDeadline { filled.spec.clearDeadline() }
    if spec.hasRunAfter { filled.spec.clearRunAfter() }
    if !spec.sampling.stop.isEmpty { filled.spec.sampling.stop = [] }
    if spec.sampling.strategy != nil { filled.spec.sampling.strategy = nil }
    if spec.sampling.hasTemperature, case .greedy = filled.spec.sampling.strategy {
      filled.spec.sampling.strategy = nil
    }
    try filled.merge(serializedBytes: try serializedBytes() as [UInt8])
    return filled
  }
}
