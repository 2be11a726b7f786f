import ArgumentParser
import Messages
import RPC
import SwiftProtobuf

struct Watch: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Stream a job's output, from any token on, as often as you like.",
    discussion: "Example: millrace watch 0198c1d2-… --from 100")

  @OptionGroup var connection: ClientFlags

  @Argument(help: "The job's id.")
  var id: String

  @Option(parsing: .unconditional, help: "The first output token to show.")
  var from: Int64 = 0

  func validate() throws {
    guard from >= 0 else { throw ValidationError("--from must be 0 or more") }
  }

  func run() async throws {
    try await connection.withClient { client in
      try await JobPrinter(json: connection.json).follow(id, from: from, client)
    }
  }
}

/// Which jobs a command is about, and how to reach their service.
struct JobsFlags: ParsableArguments {
  @OptionGroup var connection: ClientFlags

  @Argument(help: "The jobs' ids.")
  var ids: [String]

  /// Calls a method for each job and shows what it answers. One that fails keeps no other from its
  /// turn, but is told, and is an error in the end.
  func forEach(
    _ body: (JobClient, String) async throws -> Millrace_V1_Job,
    show: (Millrace_V1_Job) throws -> Void
  ) async throws {
    let failures = try await connection.withClient { client in
      var failures: [CallFailure] = []
      for id in ids {
        do {
          let job = try await body(client, id)
          if connection.json { Output.line(try job.jsonLine()) } else { try show(job) }
        } catch let failure as CallFailure where failure.code == .notFound {
          failures.append(failure)
        }
      }
      return failures
    }
    guard !failures.isEmpty else { return }
    throw CommandFailure(failures.map(\.description).joined(separator: "\n"))
  }
}

struct Get: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Show jobs with their output so far.",
    discussion: """
      The text goes to standard output, what else there is to tell to standard error. Of several
      outputs each after the first has a line above it that says which it is.

      Example: millrace get 0198c1d2-… --json
      """)

  @OptionGroup var jobs: JobsFlags

  func run() async throws {
    try await jobs.forEach { client, id in
      var request = Millrace_V1_GetJobRequest()
      request.id = id
      return try await client.call("JobService/GetJob", request)
    } show: { job in
      Output.remark(JobPrinter.details(of: job))
      Output.line(job.text)
      JobPrinter.showAlternatives(of: job)
    }
  }
}

struct Cancel: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "End jobs now; their output so far is kept.",
    discussion: "Example: millrace cancel 0198c1d2-…")

  @OptionGroup var jobs: JobsFlags

  func run() async throws {
    try await jobs.forEach { client, id in
      var request = Millrace_V1_CancelJobRequest()
      request.id = id
      return try await client.call("JobService/CancelJob", request)
    } show: { job in
      Output.line("\(job.id) \(job.state.word)")
    }
  }
}
