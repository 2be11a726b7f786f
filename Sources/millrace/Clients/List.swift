import ArgumentParser
import Foundation
import Messages
import SwiftProtobuf

struct List: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "List jobs, newest first.",
    discussion: "Example: millrace list --state running --limit 20")

  @OptionGroup var connection: ClientFlags

  @Option(
    help: ArgumentHelp(
      """
      Only these: queued, running, succeeded, failed, cancelled, expired; several with commas, or \
      repeated. [all]
      """), transform: Millrace_V1_JobState.named)
  var state: [[Millrace_V1_JobState]] = []

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
    request.states = state.flatMap(\.self)
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
      if !request.pageToken.isEmpty {
        Output.remark("There are more than these \(jobs.count); show more with --limit")
      }
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
