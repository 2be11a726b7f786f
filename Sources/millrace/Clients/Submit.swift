import ArgumentParser
import Foundation
import Messages
import SwiftProtobuf

struct Submit: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Submit a job; with --watch, stream its output.",
    discussion: """
      Example: millrace submit --model story --prompt "Once upon a time" --watch
      """)

  @OptionGroup var connection: ClientFlags
  @OptionGroup(title: "Sampling") var sampling: SamplingFlags

  @Option(help: "The name of the model.")
  var model: String

  @Option(help: "The prompt; - reads it from standard input.")
  var prompt: String

  @Option(help: "Your name for this submission: retried with it, it is the same job.")
  var requestID: String = ""

  @Option(help: "From -1000 to 1000; higher runs first.")
  var priority: Int32 = 0

  @Option(help: "Seconds until the job expires.")
  var expireAfter: Double?

  @Option(help: "A label, as KEY=VALUE. May be repeated.")
  var label: [String] = []

  @Flag(help: "Stream the output until the job has ended.")
  var watch = false

  func validate() throws {
    for text in label where !text.contains("=") {
      throw ValidationError("--label is \(text); it must be KEY=VALUE")
    }
    if let expireAfter, !(expireAfter > 0 && expireAfter < 1e9) {
      throw ValidationError("--expire-after must be over 0 seconds")
    }
  }

  func run() async throws {
    let request = try makeRequest()
    try await connection.withClient { client in
      let job: Millrace_V1_Job = try await client.call("JobService/SubmitJob", request)
      if watch {
        if connection.json {
          var event = Millrace_V1_JobEvent()
          event.state = job
          Output.line(try event.jsonLine())
        } else {
          Output.remark("Job \(job.id)")
        }
        try await JobPrinter(json: connection.json).follow(job.id, from: 0, client)
      } else {
        Output.line(connection.json ? try job.jsonLine() : job.id)
      }
    }
  }

  private func makeRequest() throws -> Millrace_V1_SubmitJobRequest {
    var request = Millrace_V1_SubmitJobRequest()
    request.requestID = requestID
    request.spec.model = model
    request.spec.prompt = try PromptArgument.text(prompt)
    request.spec.priority = priority
    request.spec.sampling = sampling.message
    if let expireAfter {
      request.spec.deadline = Google_Protobuf_Timestamp(
        date: Date(timeIntervalSinceNow: expireAfter))
    }
    for text in label {
      let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      request.spec.labels[String(parts[0])] = String(parts[1])
    }
    return request
  }
}

/// A prompt as it is given on the command line.
enum PromptArgument {
  static func text(_ argument: String) throws -> String {
    guard argument == "-" else { return argument }
    let data = try FileHandle.standardInput.readToEnd() ?? Data()
    guard let text = String(data: data, encoding: .utf8) else {
      throw CommandFailure("the prompt on standard input is not UTF-8 text")
    }
    return text
  }
}

extension SamplingFlags {
  var message: Millrace_V1_SamplingParameters {
    var message = Millrace_V1_SamplingParameters()
    message.maxTokens = maxTokens
    message.temperature = temperature
    message.topP = topP
    message.topK = topK
    message.minP = minP
    message.repetitionPenalty = repetitionPenalty
    message.presencePenalty = presencePenalty
    message.frequencyPenalty = frequencyPenalty
    if let seed { message.seed = seed }
    message.stop = stop
    if let logprobs { message.logprobs = logprobs }
    return message
  }
}
