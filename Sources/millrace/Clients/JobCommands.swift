import ArgumentParser
import Foundation
import Messages
import SwiftProtobuf

/// Which job a command is about, and how to reach its service.
struct JobFlags: ParsableArguments {
  @OptionGroup var connection: ClientFlags

  @Argument(help: "The job's id.")
  var id: String
}

struct Watch: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Stream a job's output, from any token on, as often as you like.",
    discussion: "Example: millrace watch 0198c1d2-… --from 100")

  @OptionGroup var job: JobFlags

  @Option(parsing: .unconditional, help: "The first output token to show.")
  var from: Int64 = 0

  func validate() throws {
    guard from >= 0 else { throw ValidationError("--from must be 0 or more") }
  }

  func run() async throws {
    try await job.connection.withClient { client in
      try await JobPrinter(json: job.connection.json).follow(job.id, from: from, client)
    }
  }
}

struct Get: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Show a job with its output so far.",
    discussion: "Example: millrace get 0198c1d2-… --json")

  @OptionGroup var job: JobFlags

  func run() async throws {
    var request = Millrace_V1_GetJobRequest()
    request.id = job.id
    try await job.connection.withClient { client in
      let found: Millrace_V1_Job = try await client.call("JobService/GetJob", request)
      if job.connection.json {
        Output.line(try found.jsonLine())
      } else {
        Output.line(found.text)
        Output.remark(JobPrinter.timings(of: found))
        if found.hasError { Output.remark("error: \(found.error.message)") }
      }
    }
  }
}

struct Cancel: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "End a job now; its output so far is kept.",
    discussion: "Example: millrace cancel 0198c1d2-…")

  @OptionGroup var job: JobFlags

  func run() async throws {
    var request = Millrace_V1_CancelJobRequest()
    request.id = job.id
    try await job.connection.withClient { client in
      let ended: Millrace_V1_Job = try await client.call("JobService/CancelJob", request)
      Output.line(
        job.connection.json ? try ended.jsonLine() : "\(ended.id) \(ended.state.word)")
    }
  }
}

struct List: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "List jobs, newest first.",
    discussion: "Example: millrace list --state running --limit 20")

  @OptionGroup var connection: ClientFlags

  @Option(
    help: ArgumentHelp(
      "Only these: queued, running, succeeded, failed, cancelled, expired. May be repeated. [all]"
    ), transform: Millrace_V1_JobState.init(word:))
  var state: [Millrace_V1_JobState] = []

  @Option(help: "Only jobs of this model. [all]")
  var model: String = ""

  @Option(
    help: "Only jobs with this label, as KEY=VALUE. May be repeated. [all]",
    transform: Label.init)
  var label: [Label] = []

  @Option(parsing: .unconditional, help: "The most jobs to list.")
  var limit: Int = 50

  func validate() throws {
    guard limit > 0 else { throw ValidationError("--limit must be at least 1") }
  }

  func run() async throws {
    var request = Millrace_V1_ListJobsRequest()
    request.states = state
    request.model = model
    for label in label { request.labels[label.key] = label.value }
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
