import ArgumentParser
import Foundation
import Messages
import SwiftProtobuf

struct Submit: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Submit a job, or a file of jobs; with --watch, stream the output.",
    discussion: """
      Example: millrace submit --model story --prompt "Once upon a time" --watch
      Example: millrace submit --model story --max-tokens 50 --batch jobs.jsonl

      With --batch, what a line does not say itself is taken from the other flags.
      """)

  @OptionGroup var connection: ClientFlags
  @OptionGroup(title: "Input") var input: InputFlags
  @OptionGroup(title: "Sampling") var sampling: SamplingFlags
  @OptionGroup(title: "Speculation") var speculation: SpeculationFlags

  @Option(help: "The name of the model.")
  var model: String?

  @Option(help: "Your name for this submission: retried with it, it is the same job. [none]")
  var requestID: String = ""

  @Option(parsing: .unconditional, help: "From -1000 to 1000; higher runs first.")
  var priority: Int32 = 0

  @Option(
    parsing: .unconditional,
    help: "When the job may start, as 2030-01-31T18:00:00Z or +5m. [now]", transform: Moment.init)
  var runAfter: Moment?

  @Option(
    parsing: .unconditional,
    help: "When the job expires, as 2030-01-31T18:00:00Z or +5m. [never]", transform: Moment.init)
  var deadline: Moment?

  @Option(parsing: .unconditional, help: "Seconds until the job expires. [never]")
  var expireAfter: Double?

  @Option(
    parsing: .unconditional,
    help: "How often the job may be started, 1 to 100, before it fails for good. [10]")
  var maxAttempts: Int32?

  @Option(help: "A label, as KEY=VALUE. May be repeated. [none]", transform: Label.init)
  var label: [Label] = []

  @Flag(help: "Stream the output until the job has ended.")
  var watch = false

  func validate() throws {
    if input.batch != nil {
      guard !watch else { throw ValidationError("--watch follows one job; leave out --batch") }
      guard requestID.isEmpty else {
        throw ValidationError("--request-id is for one job; give each line of --batch its own")
      }
    } else if model == nil {
      throw ValidationError("Missing expected argument '--model <model>'")
    }
    if let maxAttempts, !(1...100 ~= maxAttempts) {
      throw ValidationError("--max-attempts must be from 1 to 100")
    }
    guard deadline == nil || expireAfter == nil else {
      throw ValidationError("give one of --deadline and --expire-after")
    }
    if let expireAfter, !(expireAfter > 0 && expireAfter <= 1e9) {
      throw ValidationError("--expire-after must be over 0 and at most 1000000000 seconds")
    }
  }

  func run() async throws {
    if let path = input.batch {
      let file = try SubmissionFile(path, defaults: try defaults())
      try await connection.withClient { client in
        try await file.submit(client) { job in
          Output.line(connection.json ? try job.jsonLine() : job.id)
        }
      }
      return
    }
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
    var request = try defaults()
    request.requestID = requestID
    try input.fill(&request.spec)
    return request
  }

  /// What the flags say of every job: its request but for the input.
  private func defaults() throws -> Millrace_V1_SubmitJobRequest {
    var request = Millrace_V1_SubmitJobRequest()
    request.spec.model = model ?? ""
    request.spec.priority = priority
    request.spec.sampling = try sampling.message()
    request.spec.speculation = speculation.message
    if let expireAfter {
      request.spec.deadline = Google_Protobuf_Timestamp(
        date: Date(timeIntervalSinceNow: expireAfter))
    }
    if let deadline { request.spec.deadline = deadline.message }
    if let runAfter { request.spec.runAfter = runAfter.message }
    if let maxAttempts { request.spec.maxAttempts = maxAttempts }
    for label in label { request.spec.labels[label.key] = label.value }
    return request
  }
}

extension SamplingFlags {
  func message() throws -> Millrace_V1_SamplingParameters {
    var message = Millrace_V1_SamplingParameters()
    message.maxTokens = maxTokens
    message.temperature = temperature
    if greedy { message.greedy = Millrace_V1_GreedyStrategy() }
    message.topP = topP
    message.topK = topK
    message.minP = minP
    message.repetitionPenalty = repetitionPenalty
    message.presencePenalty = presencePenalty
    message.frequencyPenalty = frequencyPenalty
    if let seed { message.seed = seed }
    message.stop = stop
    if let logprobs { message.logprobs = logprobs }
    if typicalP != 1 { message.typicalP = typicalP }
    message.minTokens = minTokens
    message.stopTokenIds = stopTokenID
    message.logitBias = logitBiases
    if let jsonSchema {
      message.jsonSchema = try PromptArgument.file(jsonSchema, "--json-schema")
    }
    if let grammar { message.grammar = try PromptArgument.file(grammar, "--grammar") }
    fillSearch(&message)
    return message
  }

  /// How many outputs there are to be, and how they are searched.
  private func fillSearch(_ message: inout Millrace_V1_SamplingParameters) {
    message.n = n
    if let beamWidth {
      message.beam.width = beamWidth
      if let lengthPenalty { message.beam.lengthPenalty = lengthPenalty }
      message.beam.earlyStopping = earlyStopping
    } else if contrastiveTopK != nil || contrastiveAlpha != nil {
      message.contrastive.topK = contrastiveTopK ?? 0
      if let contrastiveAlpha { message.contrastive.alpha = contrastiveAlpha }
    }
  }
}
