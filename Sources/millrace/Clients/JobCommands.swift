import ArgumentParser
import Foundation
import Messages
import SwiftProtobuf

struct Watch: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Stream a job's output, from any token on, as often as you like.",
    discussion: "Example: millrace watch 0198c1d2-… --from 100")

  @OptionGroup var connection: ClientFlags

  @Argument(help: "The job's id.")
  var id: String

  @Option(help: "The first output token to show.")
  var from: Int64 = 0

  func run() async throws {
    try await connection.withClient { client in
      try await JobPrinter(json: connection.json).follow(id, from: from, client)
    }
  }
}

struct Get: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Show a job with its output so far.",
    discussion: "Example: millrace get 0198c1d2-… --json")

  @OptionGroup var connection: ClientFlags

  @Argument(help: "The job's id.")
  var id: String

  func run() async throws {
    var request = Millrace_V1_GetJobRequest()
    request.id = id
    try await connection.withClient { client in
      let job: Millrace_V1_Job = try await client.call("JobService/GetJob", request)
      if connection.json {
        Output.line(try job.jsonLine())
      } else {
        Output.line(job.text)
        Output.remark(JobPrinter.timings(of: job))
        if job.hasError { Output.remark("error: \(job.error.message)") }
      }
    }
  }
}

struct Cancel: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "End a job now; its output so far is kept.",
    discussion: "Example: millrace cancel 0198c1d2-…")

  @OptionGroup var connection: ClientFlags

  @Argument(help: "The job's id.")
  var id: String

  func run() async throws {
    var request = Millrace_V1_CancelJobRequest()
    request.id = id
    try await connection.withClient { client in
      let job: Millrace_V1_Job = try await client.call("JobService/CancelJob", request)
      Output.line(connection.json ? try job.jsonLine() : "\(job.id) \(job.state.word)")
    }
  }
}

struct List: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "List jobs, newest first.",
    discussion: "Example: millrace list --state running --limit 20")

  @OptionGroup var connection: ClientFlags

  @Option(help: "queued, running, succeeded, failed, cancelled or expired. May be repeated.")
  var state: [String] = []

  @Option(help: "Only jobs of this model.")
  var model: String = ""

  @Option(help: "Only jobs with this label, as KEY=VALUE. May be repeated.")
  var label: [String] = []

  @Option(help: "The most jobs to list.")
  var limit: Int = 50

  func validate() throws {
    guard limit > 0 else { throw ValidationError("--limit must be at least 1") }
    for text in label where !text.contains("=") {
      throw ValidationError("--label is \(text); it must be KEY=VALUE")
    }
    _ = try states
  }

  private var states: [Millrace_V1_JobState] {
    get throws {
      try state.map { word in
        guard let state = Millrace_V1_JobState.allCases.first(where: { $0.word == word }),
          state != .unspecified
        else { throw ValidationError("--state is \(word), which is no state of a job") }
        return state
      }
    }
  }

  func run() async throws {
    var request = Millrace_V1_ListJobsRequest()
    request.states = try states
    request.model = model
    for text in label {
      let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      request.labels[String(parts[0])] = String(parts[1])
    }
    try await connection.withClient { client in
      var jobs: [Millrace_V1_Job] = []
      repeat {
        request.pageSize = Int32(min(limit - jobs.count, 1_000))
        let page: Millrace_V1_ListJobsResponse = try await client.call(
          "JobService/ListJobs", request)
        jobs += page.jobs
        request.pageToken = page.nextPageToken
      } while jobs.count < limit && !request.pageToken.isEmpty
      try show(jobs)
    }
  }

  private func show(_ jobs: [Millrace_V1_Job]) throws {
    if connection.json {
      for job in jobs { Output.line(try job.jsonLine()) }
      return
    }
    var table = Table("ID", "STATE", "MODEL", "TOKENS", "CREATED")
    for job in jobs {
      table.add(
        job.id, job.state.word, job.spec.model, "\(job.usage.outputTokens)",
        job.createTime.date.ISO8601Format())
    }
    Output.line(table.text)
  }
}
