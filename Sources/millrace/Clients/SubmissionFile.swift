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

  /// - Parameter model: the model of the submissions that name none.
  /// - Throws: `CommandFailure`, which names the first line that is wrong.
  init(_ path: String, model: String?) throws(CommandFailure) {
    self.path = path
    let text = try PromptArgument.file(path, "--batch")
    var entries: [Entry] = []
    for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated()
    where line.contains(where: { !$0.isWhitespace }) {
      do {
        var request = try Millrace_V1_SubmitJobRequest(jsonString: String(line))
        if let model, request.spec.model.isEmpty { request.spec.model = model }
        entries.append(Entry(line: index + 1, request: request))
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
        let before = done == 0 ? "nothing is" : "the \(done) submissions before it are"
        throw CommandFailure(
          "\(failure)\n  requests[0] is line \(part[part.startIndex].line) of \(path); "
            + "\(before) submitted")
      }
      done += part.count
      bar.update(done, note: "\(done) of \(entries.count)")
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
