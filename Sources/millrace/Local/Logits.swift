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

  @Option(help: "Token ids, separated by commas.")
  var tokens: String

  @Option(help: "The file to write.")
  var out: String

  @Option(help: "How many tokens are computed at a time; changes nothing in the result.")
  var chunk: Int?

  @Flag(help: "Print the shape as JSON.")
  var json = false

  func run() async throws {
    try explaining {
      let ids = try tokens.split(separator: ",").map { part in
        guard let id = Int32(part.trimmingCharacters(in: .whitespaces)) else {
          throw CommandFailure("--tokens holds \(part.prefix(32)), which is no token id")
        }
        return id
      }
      if let chunk, chunk < 1 { throw CommandFailure("--chunk must be at least 1") }
      let language = try model.load()
      let engine = try Engine(
        model: language,
        options: EngineOptions(
          maxSequences: 1, contextLength: max(ids.count, 2), threads: model.threads,
          kernelPath: model.kernels))
      let logits = try engine.logits(tokens: ids, chunk: chunk)
      let data = logits.withUnsafeBytes { Data($0) }
      do {
        try data.write(to: URL(fileURLWithPath: out), options: .atomic)
      } catch {
        throw CommandFailure("\(out) cannot be written: \(error.localizedDescription)")
      }
      let vocabulary = language.vocabularySize
      if json {
        try Output.json(["tokens": ids.count, "vocabulary": vocabulary])
      } else {
        Output.line("Wrote [\(ids.count), \(vocabulary)] float32 to \(out)")
      }
    }
  }
}
