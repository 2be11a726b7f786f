import Foundation
import Inference
import Tensors

/// Rates of one run, in tokens per second over all sequences.
struct BenchRun {
  var prefill: Double
  var decode: Double
  /// The sequences that it ran: how many tokens of prompt and of output.
  var sequences: [(promptTokens: Int, outputTokens: Int)]
  var draftRounds = 0
  var draftedTokens = 0
  var acceptedTokens = 0
  /// What the machine could do at most meanwhile, where that is measured: between before and after.
  var limits: MachineLimits?

  /// Runs `size` sequences on an engine that has room for them all.
  static func measure(
    _ engine: Engine, _ size: Int, _ prompts: BenchPrompts, round: Int, _ speculation: Speculation
  ) throws -> BenchRun {
    let before = engine.statistics
    var sequences: [(promptTokens: Int, outputTokens: Int)] = []
    for sequence in 0..<size {
      let prompt = prompts.prompt(sequence: sequence, of: size, round: round)
      sequences.append((prompt.tokens.count, prompt.decodeTokens))
      var request = GenerationRequest(
        sequence: UInt64(sequence), promptTokens: prompt.tokens,
        options: SamplingOptions(
          maxTokens: prompt.decodeTokens, temperature: 0, ignoreEnd: true),
        speculation: speculation)
      request.forcedTokens = prompt.output
      try engine.add(request)
    }
    let start = ContinuousClock.now
    var waiting = Set((0..<size).map(UInt64.init))
    var prefilled: ContinuousClock.Instant?
    var decoded = 0
    while engine.hasWork {
      let outputs = try engine.step()
      if prefilled != nil { decoded += outputs.reduce(0) { $0 + $1.tokens.count } }
      for output in outputs {
        if let failure = output.failure { throw failure }
        waiting.remove(output.sequence)
      }
      if waiting.isEmpty, prefilled == nil { prefilled = .now }
    }
    let end = ContinuousClock.now
    let middle = prefilled ?? end
    let after = engine.statistics
    let promptTokens = sequences.reduce(0) { $0 + $1.promptTokens }
    return BenchRun(
      prefill: Double(promptTokens) / (start.duration(to: middle) / .seconds(1)),
      decode: Double(decoded) / (middle.duration(to: end) / .seconds(1)), sequences: sequences,
      draftRounds: after.draftRounds - before.draftRounds,
      draftedTokens: after.draftedTokens - before.draftedTokens,
      acceptedTokens: after.acceptedTokens - before.acceptedTokens)
  }
}

extension BenchRun {
  /// Multiplications and additions a second up to the first output tokens.
  func prefillMultiplyAdds(_ cost: ModelCost) -> Double {
    let tokens = sequences.reduce(0) { $0 + $1.promptTokens }
    let needed = sequences.reduce(0) { $0 + cost.promptMultiplyAdds(tokens: $1.promptTokens) }
    return prefill * Double(needed) / Double(tokens)
  }

  /// The same of the other output tokens: all but the last are computed with, each at its position.
  func decodeMultiplyAdds(_ cost: ModelCost) -> Double {
    let tokens = sequences.reduce(0) { $0 + $1.outputTokens - 1 }
    let needed = sequences.reduce(0) {
      let end = $1.promptTokens + $1.outputTokens - 1
      return $0 + cost.outputMultiplyAdds(positions: $1.promptTokens..<end)
    }
    return decode * Double(needed) / Double(tokens)
  }
}

/// What `bench --json` prints for each size.
struct BenchResult: Encodable {
  var batch: Int
  var promptTokens: Int
  var decodeTokens: Int
  var kernels: String
  var threads: Int
  var runs: Int
  var prefillTokensPerSecond: Double
  var decodeTokensPerSecond: Double
  /// Of all runs: rounds of speculation, tokens drafted in them, and those of them accepted.
  var draftRounds: Int
  var draftedTokens: Int
  var acceptedTokens: Int
  /// The most memory that the process had so far, without what measuring the machine's limits takes.
  var peakMemoryBytes: Int

  init(
    batch: Int, promptTokens: Int, decodeTokens: Int, kernels: String, threads: Int,
    runs: [BenchRun], peakMemoryBytes: Int
  ) {
    self.batch = batch
    self.promptTokens = promptTokens
    self.decodeTokens = decodeTokens
    self.kernels = kernels
    self.threads = threads
    self.runs = runs.count
    self.peakMemoryBytes = peakMemoryBytes
    prefillTokensPerSecond = runs.map(\.prefill).median
    decodeTokensPerSecond = runs.map(\.decode).median
    draftRounds = runs.reduce(0) { $0 + $1.draftRounds }
    draftedTokens = runs.reduce(0) { $0 + $1.draftedTokens }
    acceptedTokens = runs.reduce(0) { $0 + $1.acceptedTokens }
  }
}

extension [Double] {
  /// Of none 0.
  var median: Double {
    let sorted = sorted()
    guard !sorted.isEmpty else { return 0 }
    let middle = sorted.count / 2
    return sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
  }
}
