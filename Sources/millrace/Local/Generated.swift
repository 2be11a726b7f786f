import Foundation
import Inference

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

  /// One of its outputs.
  struct Text: Encodable {
    var ids: [Int32] = []
    var text = ""
    var finishReason = ""
    var logprobs: [Logprobs]?

    mutating func take(_ output: SequenceOutput, logprobs asked: Bool) {
      ids += output.tokens.map(\.token)
      text += output.tokens.map(\.text).joined() + output.trailingText
      finishReason = output.finish?.rawValue ?? finishReason
      if asked { logprobs = (logprobs ?? []) + output.tokens.map(Logprobs.init) }
    }
  }

  private enum CodingKeys: CodingKey {
    case promptIds, ids, text, finishReason, logprobs, seed, alternatives, speculation, timings
  }

  var speculation = Drafts()
  var timings = Timings()
  /// All outputs, the first one always.
  private(set) var outputs = [Text()]
  private let promptIds: [Int32]
  private let options: SamplingOptions

  init(promptIds: [Int32], options: SamplingOptions) {
    self.promptIds = promptIds
    self.options = options
  }

  /// Tokens of all outputs.
  var tokenCount: Int { outputs.reduce(0) { $0 + $1.ids.count } }

  /// Adds what a step brought.
  mutating func take(_ output: SequenceOutput) {
    while outputs.count <= output.output { outputs.append(Text()) }
    outputs[output.output].take(output, logprobs: options.logprobs != nil)
  }

  /// The first output as if there was no other, and the others behind it.
  func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: CodingKeys.self)
    try container.encode(promptIds, forKey: .promptIds)
    try container.encode(outputs[0].ids, forKey: .ids)
    try container.encode(outputs[0].text, forKey: .text)
    try container.encode(outputs[0].finishReason, forKey: .finishReason)
    try container.encodeIfPresent(outputs[0].logprobs, forKey: .logprobs)
    if options.outputs > 1 {
      try container.encode(Array(outputs.dropFirst()), forKey: .alternatives)
    }
    // A string, as in the JSON of jobs: many readers take numbers for doubles.
    try container.encode(String(options.seed), forKey: .seed)
    try container.encode(speculation, forKey: .speculation)
    try container.encode(timings, forKey: .timings)
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
    firstToken: ContinuousClock.Instant, ended: ContinuousClock.Instant, tokens: Int,
    comesAtOnce: Bool
  ) {
    loadSeconds = started.duration(to: loaded) / .seconds(1)
    timeToFirstTokenSeconds = loaded.duration(to: firstToken) / .seconds(1)
    decodeSeconds = firstToken.duration(to: ended) / .seconds(1)
    // The first token costs what the prompt does; where all come at once, so do all.
    let (count, seconds) =
      comesAtOnce ? (tokens, loaded.duration(to: ended) / .seconds(1)) : (tokens - 1, decodeSeconds)
    tokensPerSecond = seconds > 0 ? Double(max(count, 0)) / seconds : 0
  }

  func line(tokens: Int, finishReason: String) -> String {
    let first = String(format: "%.1f", timeToFirstTokenSeconds * 1_000)
    let rate = String(format: "%.1f", tokensPerSecond)
    let masks = maskSecondsPerToken.map { String(format: " · masks %.1f µs a token", $0 * 1e6) }
    return "\(tokens) tokens (\(finishReason)) · time to first token \(first) ms · \(rate) tokens/s"
      + (masks ?? "")
  }
}
