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

  @Option(parsing: .unconditional, help: "The prompt; - reads it from standard input.")
  var prompt: String

  @Option(help: "Your name for this submission: retried with it, it is the same job. [none]")
  var requestID: String = ""

  @Option(parsing: .unconditional, help: "From -1000 to 1000; higher runs first.")
  var priority: Int32 = 0

  @Option(parsing: .unconditional, help: "Seconds until the job expires. [never]")
  var expireAfter: Double?

  @Option(help: "A label, as KEY=VALUE. May be repeated. [none]", transform: Label.init)
  var label: [Label] = []

  @Flag(help: "Stream the output until the job has ended.")
  var watch = false

  func validate() throws {
    if let expireAfter, !(expireAfter > 0 && expireAfter <= 1e9) {
      throw ValidationError("--expire-after must be over 0 and at most 1000000000 seconds")
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
    for label in label { request.spec.labels[label.key] = label.value }
    return request
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
