import ArgumentParser
import Foundation
import Inference

struct Generate: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Run a model here, without a service or a queue.",
    discussion: """
      The same model, prompt, parameters and seed give the same text as a job does.

      Example: millrace generate --model model.gguf --prompt "Once upon a time"
      """)

  @OptionGroup var model: ModelFlags
  @OptionGroup(title: "Sampling") var sampling: SamplingFlags
  @OptionGroup var draft: DraftFlags
  @OptionGroup(title: "Speculation") var speculation: SpeculationFlags

  @Option(parsing: .unconditional, help: "The prompt; - reads it from standard input.")
  var prompt: String

  @Option(
    parsing: .unconditional,
    help: "The most tokens of prompt and output together. [the model's, at most 4096]")
  var contextLength: Int?

  @Flag(help: "Print ids, text, finish reason and timings as JSON, at the end.")
  var json = false

  func run() async throws {
    let interruption = Interruption()
    defer { interruption.cancel() }
    try explaining {
      let start = ContinuousClock.now
      let options = try sampling.options()
      let language = try model.load()
      let prompt = language.encodePrompt(try PromptArgument.text(prompt))
      let engine = try Engine(
        model: language, draft: try draft.load(model),
        options: EngineOptions(
          maxSequences: 1, contextLength: contextLength, threads: model.threads,
          kernelPath: model.kernels))
      let loaded = ContinuousClock.now
      try engine.add(
        GenerationRequest(
          sequence: 1, promptTokens: prompt, options: options,
          speculation: speculation.speculation))
      var result = Generated(promptIds: prompt, seed: options.seed)
      var firstToken: ContinuousClock.Instant?
      while engine.hasWork {
        for output in try engine.step() {
          if let failure = output.failure { throw failure }
          firstToken = firstToken ?? .now
          let text = output.tokens.map(\.text).joined() + output.trailingText
          if !json { Output.text(text) }
          result.text += text
          result.ids += output.tokens.map(\.token)
          if sampling.logprobs != nil {
            result.logprobs = (result.logprobs ?? []) + output.tokens.map(Generated.Logprobs.init)
          }
          result.finishReason = output.finish?.rawValue ?? result.finishReason
        }
      }
      result.timings = Timings(
        started: start, loaded: loaded, firstToken: firstToken ?? .now, ended: .now,
        tokens: result.ids.count)
      result.speculation = Generated.Drafts(engine.statistics)
      result.timings.count(engine.statistics)
      if json {
        try Output.json(result)
      } else {
        Output.line("")
        let seed = options.temperature > 0 ? " · seed \(options.seed)" : ""
        Output.remark(
          result.timings.line(tokens: result.ids.count, finishReason: result.finishReason)
            + result.speculation.line + seed)
      }
    }
  }
}

/// What `generate --json` prints.
struct Generated: Encodable {
  struct Logprobs: Encodable {
    struct Candidate: Encodable {
      var id: Int32
      var logprob: Float
    }

    var id: Int32
    var logprob: Float?
    var top: [Candidate]

    init(_ token: GeneratedToken) {
      id = token.token
      logprob = token.logprob
      top = token.topLogprobs.map { Candidate(id: $0.token, logprob: $0.logprob) }
    }
  }

  /// What speculation did.
  struct Drafts: Encodable {
    var rounds = 0
    var drafted = 0
    var accepted = 0

    init() {}

    init(_ statistics: EngineStatistics) {
      rounds = statistics.draftRounds
      drafted = statistics.draftedTokens
      accepted = statistics.acceptedTokens
    }

    var line: String { drafted == 0 ? "" : " · \(accepted) of \(drafted) drafted accepted" }
  }

  var promptIds: [Int32]
  var ids: [Int32] = []
  var text = ""
  var finishReason = ""
  /// A string, as in the JSON of jobs: many readers take numbers for doubles.
  var seed: String
  var logprobs: [Logprobs]?
  var speculation = Drafts()
  var timings = Timings()

  init(promptIds: [Int32], seed: UInt64) {
    self.promptIds = promptIds
    self.seed = String(seed)
  }
}

/// How long the parts of a generation took, in seconds.
struct Timings: Encodable {
  var loadSeconds = 0.0
  var timeToFirstTokenSeconds = 0.0
  var decodeSeconds = 0.0
  var tokensPerSecond = 0.0
  /// What it took to find out which tokens a constraint allows, for each choice; absent without one.
  var maskSecondsPerToken: Double?

  init() {}

  mutating func count(_ statistics: EngineStatistics) {
    guard statistics.maskedChoices > 0 else { return }
    maskSecondsPerToken = statistics.maskSeconds / Double(statistics.maskedChoices)
  }

  init(
    started: ContinuousClock.Instant, loaded: ContinuousClock.Instant,
    firstToken: ContinuousClock.Instant, ended: ContinuousClock.Instant, tokens: Int
  ) {
    loadSeconds = started.duration(to: loaded) / .seconds(1)
    timeToFirstTokenSeconds = loaded.duration(to: firstToken) / .seconds(1)
    decodeSeconds = firstToken.duration(to: ended) / .seconds(1)
    tokensPerSecond = decodeSeconds > 0 ? Double(max(tokens - 1, 0)) / decodeSeconds : 0
  }

  func line(tokens: Int, finishReason: String) -> String {
    let first = String(format: "%.1f", timeToFirstTokenSeconds * 1_000)
    let rate = String(format: "%.1f", tokensPerSecond)
    let masks = maskSecondsPerToken.map { String(format: " · masks %.1f µs a token", $0 * 1e6) }
    return "\(tokens) tokens (\(finishReason)) · time to first token \(first) ms · \(rate) tokens/s"
      + (masks ?? "")
  }
}

extension SamplingFlags {
  /// The engine's form. A seed that was not given is drawn, each time anew.
  func options() throws -> SamplingOptions {
    let constraint: OutputConstraint? =
      if let jsonSchema {
        .jsonSchema(try PromptArgument.file(jsonSchema, "--json-schema"))
      } else {
        try grammar.map { .grammar(try PromptArgument.file($0, "--grammar")) }
      }
    return SamplingOptions(
      maxTokens: Int(maxTokens), minTokens: Int(minTokens),
      temperature: greedy ? 0 : temperature, topK: Int(topK), typicalP: typicalP, topP: topP,
      minP: minP, repetitionPenalty: repetitionPenalty, presencePenalty: presencePenalty,
      frequencyPenalty: frequencyPenalty, seed: seed ?? .random(in: 0...UInt64.max), stop: stop,
      stopTokens: Set(stopTokenID), logprobs: logprobs.map(Int.init), constraint: constraint)
  }
}
