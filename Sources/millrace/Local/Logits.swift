import ArgumentParser
import Foundation
import Inference

struct Logits: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Write the logits after each token of a text to a file.",
    discussion: """
      The file holds float32, little-endian, [tokens, vocabulary].

      Example: millrace logits --model model.gguf --tokens 1,403,407 --out logits.f32
      """)

  @OptionGroup var model: ModelFlags

  @Option(parsing: .unconditional, help: "Token ids, separated by commas.")
  var tokens: String

  @Option(help: "The file to write.")
  var out: String

  @Option(
    parsing: .unconditional,
    help: "How many tokens are computed at a time; changes nothing in the result. [all]")
  var chunk: Int?

  @Flag(help: "Print the shape as JSON.")
  var json = false

  func validate() throws {
    if let chunk, chunk < 1 { throw ValidationError("--chunk must be at least 1") }
  }

  private func ids(of language: LanguageModel) throws -> [Int32] {
    let ids = try NumberList.parse(
      tokens, flag: "--tokens", in: 0...language.vocabularySize - 1)
    guard ids.count <= language.trainedContextLength else {
      throw CommandFailure(
        "--tokens holds \(ids.count) ids; the model's context is \(language.trainedContextLength)")
    }
    return ids.map(Int32.init)
  }

  func run() async throws {
    try explaining {
      let language = try model.load()
      let ids = try ids(of: language)
      let engine = try Engine(
        model: language,
        options: EngineOptions(
          maxSequences: 1, contextLength: max(ids.count, 2), threads: model.threads,
          kernelPath: model.kernels))
      let file = try PartialFile(out, flag: "--out")
      defer { file.discard() }
      try engine.logits(tokens: ids, chunk: chunk) { file.append(UnsafeRawBufferPointer($0)) }
      try file.finish()
      let vocabulary = language.vocabularySize
      if json {
        try Output.json(["tokens": ids.count, "vocabulary": vocabulary])
      } else {
        Output.line("Wrote [\(ids.count), \(vocabulary)] float32 to \(out)")
      }
    }
  }
}
