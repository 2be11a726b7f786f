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
      try options.validate(vocabularySize: language.vocabularySize)
      let engine = try Engine(
        model: language, draft: try draft.load(model),
        options: EngineOptions(
          maxSequences: options.places, contextLength: contextLength, threads: model.threads,
          kernelPath: model.kernels))
      let loaded = ContinuousClock.now
      try engine.add(
        GenerationRequest(
          sequence: 1, promptTokens: prompt, options: options,
          speculation: speculation.speculation))
      var result = Generated(promptIds: prompt, options: options)
      var firstToken: ContinuousClock.Instant?
      while engine.hasWork {
        for output in try engine.step() {
          if let failure = output.failure { throw failure }
          firstToken = firstToken ?? .now
          if !json, output.output == 0 {
            Output.text(output.tokens.map(\.text).joined() + output.trailingText)
          }
          result.take(output)
        }
      }
      result.timings = Timings(
        started: start, loaded: loaded, firstToken: firstToken ?? .now, ended: .now,
        tokens: result.tokenCount, comesAtOnce: sampling.beamWidth != nil)
      result.speculation = Generated.Drafts(engine.statistics)
      result.timings.count(engine.statistics)
      if json {
        try Output.json(result)
      } else {
        Output.line("")
        for (place, output) in result.outputs.enumerated().dropFirst() {
          Output.remark("— output \(place + 1) of \(result.outputs.count) (\(output.finishReason))")
          Output.line(output.text)
        }
        let isDrawn = options.temperature > 0 && options.strategy == .sampling
        let seed = isDrawn ? " · seed \(options.seed)" : ""
        Output.remark(
          result.timings.line(
            tokens: result.tokenCount, finishReason: result.outputs[0].finishReason)
            + result.speculation.line + seed)
      }
    }
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
      stopTokens: Set(stopTokenID), logprobs: logprobs.map(Int.init), logitBias: logitBiases,
      constraint: constraint,
      outputs: Int(n), strategy: strategy)
  }

  private var strategy: DecodingStrategy {
    if let beamWidth {
      .beam(
        BeamSearchOptions(
          width: Int(beamWidth), lengthPenalty: lengthPenalty ?? 1, stopsEarly: earlyStopping))
    } else if contrastiveTopK != nil || contrastiveAlpha != nil {
      .contrastive(
        ContrastiveSearchOptions(
          topK: contrastiveTopK.map(Int.init) ?? 4, alpha: contrastiveAlpha ?? 0.6))
    } else {
      .sampling
    }
  }
}
