import Foundation
import Inference
import Tensors

/// Rates of one run, in tokens per second over all sequences.
struct BenchRun {
  var prefill: Double
  var decode: Double
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
    var promptTokens = 0
    for sequence in 0..<size {
      let prompt = prompts.prompt(sequence: sequence, of: size, round: round)
      promptTokens += prompt.tokens.count
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
    return BenchRun(
      prefill: Double(promptTokens) / (start.duration(to: middle) / .seconds(1)),
      decode: Double(decoded) / (middle.duration(to: end) / .seconds(1)),
      draftRounds: after.draftRounds - before.draftRounds,
      draftedTokens: after.draftedTokens - before.draftedTokens,
      acceptedTokens: after.acceptedTokens - before.acceptedTokens)
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
  /// The most memory that the process had so far.
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
