import ArgumentParser
import Foundation
import Inference
import Tensors

struct Bench: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Measure how fast a model runs here.",
    discussion: """
      Prefill counts prompt tokens until every sequence has its first token; decode counts the \
      output tokens after that. Medians of the runs.

      Example: millrace bench --model model.gguf --batch 1,8,16
      """)

  @OptionGroup var model: ModelFlags

  @Option(parsing: .unconditional, help: "Tokens in each prompt.")
  var promptTokens = 128

  @Option(parsing: .unconditional, help: "Output tokens of each sequence.")
  var decodeTokens = 64

  @Option(parsing: .unconditional, help: "Sequences at once, separated by commas.")
  var batch = "1"

  @Option(parsing: .unconditional, help: "Runs of each size, after one to warm up.")
  var runs = 3

  @Flag(help: "Print JSON.")
  var json = false

  func validate() throws {
    for (flag, value, range) in [
      ("--prompt-tokens", promptTokens, 1...10_000_000),
      ("--decode-tokens", decodeTokens, 2...10_000_000), ("--runs", runs, 1...1_000),
    ] where !range.contains(value) {
      throw ValidationError(
        "\(flag) is \(value); it must be from \(range.lowerBound) to \(range.upperBound)")
    }
    _ = try batches
  }

  private var batches: [Int] {
    get throws {
      try NumberList.parse(batch, flag: "--batch", in: 1...1_024)
    }
  }

  func run() async throws {
    try explaining {
      let interruption = Interruption(tidying: ProgressBar.removal)
      defer { interruption.cancel() }
      let language = try model.load()
      guard promptTokens + decodeTokens <= language.trainedContextLength else {
        throw CommandFailure(
          "--prompt-tokens and --decode-tokens are \(promptTokens + decodeTokens) together; the "
            + "model's context is \(language.trainedContextLength)")
      }
      let sizes = try batches
      var bar = ProgressBar("Measuring", total: sizes.count * (runs + 1))
      var results: [BenchResult] = []
      for size in sizes {
        let engine = try Engine(
          model: language,
          options: EngineOptions(
            maxSequences: size, maxTokensPerStep: max(512, size),
            contextLength: promptTokens + decodeTokens,
            threads: model.threads, kernelPath: model.kernels,
            // Room for all of them at once, which is what is measured. Runs repeat the same prompts,
            // which must be computed each time.
            kvCacheBytes: .max, cachesPrefixes: false))
        var measured: [BenchRun] = []
        for run in 0...runs {
          let figures = try measure(engine, size, vocabulary: language.vocabularySize)
          if run > 0 { measured.append(figures) }
          bar.update(results.count * (runs + 1) + run + 1, note: "batch \(size)")
        }
        results.append(
          BenchResult(
            batch: size, promptTokens: promptTokens, decodeTokens: decodeTokens,
            kernels: engine.kernelPath.rawValue, runs: measured))
      }
      bar.finish()
      try show(results)
    }
  }

  private func measure(_ engine: Engine, _ size: Int, vocabulary: Int) throws -> BenchRun {
    for sequence in 0..<size {
      // Any tokens take the same time; these differ between sequences and repeat between runs.
      let prompt = (0..<promptTokens).map { index in
        Int32((index &* 7_919 &+ sequence &* 104_729 &+ 3) % vocabulary)
      }
      try engine.add(
        GenerationRequest(
          sequence: UInt64(sequence), promptTokens: prompt,
          options: SamplingOptions(maxTokens: decodeTokens, temperature: 0, ignoreEnd: true)))
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
    return BenchRun(
      prefill: Double(size * promptTokens) / (start.duration(to: middle) / .seconds(1)),
      decode: Double(decoded) / (middle.duration(to: end) / .seconds(1)))
  }

  private func show(_ results: [BenchResult]) throws {
    if json {
      try Output.json(results)
      return
    }
    var table = Table("BATCH", "PREFILL tokens/s", "DECODE tokens/s", "PEAK MEMORY MiB")
    for result in results {
      table.add(
        "\(result.batch)", String(format: "%.1f", result.prefillTokensPerSecond),
        String(format: "%.1f", result.decodeTokensPerSecond),
        "\(result.peakMemoryBytes >> 20)")
    }
    Output.line(table.text)
  }
}

/// Rates of one run, in tokens per second over all sequences.
struct BenchRun {
  var prefill: Double
  var decode: Double
}

/// What `bench --json` prints for each size.
struct BenchResult: Encodable {
  var batch: Int
  var promptTokens: Int
  var decodeTokens: Int
  var kernels: String
  var runs: Int
  var prefillTokensPerSecond: Double
  var decodeTokensPerSecond: Double
  /// The most memory that the process had so far.
  var peakMemoryBytes: Int

  init(batch: Int, promptTokens: Int, decodeTokens: Int, kernels: String, runs: [BenchRun]) {
    self.batch = batch
    self.promptTokens = promptTokens
    self.decodeTokens = decodeTokens
    self.kernels = kernels
    self.runs = runs.count
    prefillTokensPerSecond = Self.median(runs.map(\.prefill))
    decodeTokensPerSecond = Self.median(runs.map(\.decode))
    var usage = rusage()
    getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    peakMemoryBytes = usage.ru_maxrss * 1_024
  }

  private static func median(_ values: [Double]) -> Double {
    let sorted = values.sorted()
    guard !sorted.isEmpty else { return 0 }
    let middle = sorted.count / 2
    return sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
  }
}
