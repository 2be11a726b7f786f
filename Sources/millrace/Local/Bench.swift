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

      With --suite: a table over batch sizes, held against what the machine can do at most. Reading \
      memory and multiplying bytes from registers are measured between the runs; a decode step must \
      read all weights once, and a prompt token must be multiplied with all of them but the \
      vocabulary's and most of the last layer's, and in attention with what it sees. Attention \
      multiplies floats, a quarter as fast on most machines, and counts all the same.

      Example: millrace bench --model model.gguf --batch 1,8,16
               millrace bench --model model.gguf --suite --out bench
      """)

  @OptionGroup var model: ModelFlags
  @OptionGroup var draft: DraftFlags
  @OptionGroup(title: "Speculation, off unless there is a --draft") var speculation:
    SpeculationFlags

  @Option(parsing: .unconditional, help: "Tokens in each prompt. [128, with --suite 512]")
  var promptTokens: Int?

  @Option(
    help: ArgumentHelp(
      """
      Prompts to use in turn, one a line: what drafts are worth depends on them. If the name ends in \
      .jsonl, an object a line with prompt and output, and that is the output, whatever the model \
      would say. [tokens without meaning]
      """,
      valueName: "file"))
  var prompts: String?

  @Option(
    parsing: .unconditional,
    help: """
      Output tokens of each sequence; of given outputs as many at most. [64, or all of the given output]
      """)
  var decodeTokens: Int?

  @Option(
    parsing: .unconditional,
    help: "Sequences at once, separated by commas. [1, with --suite 1,2,4,8,16,32]")
  var batch: String?

  @Option(parsing: .unconditional, help: "Runs of each size, after one to warm up.")
  var runs = 3

  @Flag(help: "Measure many sizes, and the machine's limits.")
  var suite = false

  @Option(
    help: ArgumentHelp(
      "With --suite, writes PATH.json and PATH.svg, a picture of the rates.", valueName: "path"))
  var out: String?

  @Flag(help: "Print JSON.")
  var json = false

  func validate() throws {
    for (flag, value, range) in [
      ("--prompt-tokens", promptLength, 1...10_000_000),
      ("--decode-tokens", decodeTokens ?? 2, 2...10_000_000), ("--runs", runs, 1...1_000),
    ] where !range.contains(value) {
      throw ValidationError(
        "\(flag) is \(value); it must be from \(range.lowerBound) to \(range.upperBound)")
    }
    _ = try batches
    guard prompts == nil || promptTokens == nil else {
      throw ValidationError("give one of --prompts and --prompt-tokens")
    }
    guard out == nil || suite else { throw ValidationError("--out goes with --suite") }
  }

  private var promptLength: Int { promptTokens ?? (suite ? 512 : 128) }

  private var batches: [Int] {
    get throws {
      try NumberList.parse(batch ?? (suite ? "1,2,4,8,16,32" : "1"), flag: "--batch", in: 1...1_024)
    }
  }

  func run() async throws {
    try explaining {
      let interruption = Interruption(tidying: ProgressBar.removal)
      defer { interruption.cancel() }
      let language = try model.load()
      let sizes = try measure(language, prompts: try benchPrompts(language))
      guard suite else {
        try show(sizes.map(\.result))
        return
      }
      let rows = sizes.map { BenchSuite.Row($0.result, runs: $0.runs, cost: language.cost) }
      try BenchSuite(rows: rows).show(json: json, path: out)
    }
  }

  private func benchPrompts(_ language: LanguageModel) throws -> BenchPrompts {
    if let prompts {
      return try BenchPrompts(file: prompts, for: language, decodeTokens: decodeTokens)
    }
    let context = language.trainedContextLength
    let decodeTokens = decodeTokens ?? BenchPrompts.decodeTokens
    let length = promptTokens ?? min(promptLength, context - decodeTokens)
    guard length >= 1, length + decodeTokens <= context else {
      throw CommandFailure(
        "--prompt-tokens and --decode-tokens are \(max(length, 1) + decodeTokens) together; the "
          + "model's context is \(context)")
    }
    return BenchPrompts(
      tokens: length, vocabulary: language.vocabularySize, decodeTokens: decodeTokens)
  }

  /// What was measured of a batch size.
  private typealias Size = (result: BenchResult, runs: [BenchRun])

  private func measure(_ language: LanguageModel, prompts: BenchPrompts) throws -> [Size] {
    let batches = try batches
    let drafting = draft.path == nil ? nil : try draft.load(model)
    var limits: BenchLimits?
    var bar = ProgressBar("Measuring", total: batches.count * (runs + 1))
    defer { bar.finish() }
    var sizes: [Size] = []
    for batch in batches {
      let engine = try Engine(
        model: language, draft: drafting,
        options: EngineOptions(
          maxSequences: batch, maxTokensPerStep: max(512, batch),
          contextLength: prompts.longest,
          threads: model.threads, kernelPath: model.kernels,
          // Room for all of them at once, which is what is measured. Runs repeat the same prompts,
          // which must be computed each time.
          kvCacheBytes: .max, cachesPrefixes: false))
      if suite, limits == nil { limits = try BenchLimits(engine) }
      var measured: [BenchRun] = []
      for run in 0...runs {
        var figures = try BenchRun.measure(
          engine, batch, prompts, round: run, effectiveSpeculation(hasDraft: drafting != nil))
        figures.limits = limits?.sinceLast()
        if run > 0 { measured.append(figures) }
        bar.update(sizes.count * (runs + 1) + run + 1, note: "batch \(batch)")
      }
      let result = BenchResult(
        batch: batch, promptTokens: prompts.longestPrompt, decodeTokens: prompts.longestOutput,
        kernels: engine.kernelPath.rawValue, threads: engine.threads, runs: measured,
        peakMemoryBytes: limits?.peakMemoryOfOthers ?? PeakMemory.bytes)
      sizes.append((result, measured))
    }
    return sizes
  }

  private func effectiveSpeculation(hasDraft: Bool) -> Speculation {
    !hasDraft && speculation.mode == nil ? .off : speculation.speculation
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
