import Foundation
import Inference
import Tensors
import TestModels
import Testing

/// Agreement with what another engine computed; the files are found by an environment variable.
@Suite("Conformance", .enabled(if: Conformance.folder != nil))
struct ConformanceTests {
  @Test("Greedy output equals the recorded one, token by token", arguments: Conformance.paths)
  func greedy(path: KernelPath) throws {
    let model = try Conformance.model("stories260K.gguf")
    let recorded = try Conformance.generations()
    #expect(!recorded.isEmpty)
    let engine = try Engine(model: model, options: EngineOptions(kernelPath: path))
    let requests = recorded.enumerated().map { index, entry in
      GenerationRequest(
        sequence: UInt64(index), promptTokens: entry.promptIDs,
        options: SamplingOptions(maxTokens: entry.ids.count))
    }
    let results = try generate(engine, requests)
    for (index, entry) in recorded.enumerated() {
      #expect(model.encodePrompt(entry.prompt) == entry.promptIDs)
      #expect(results[UInt64(index)]?.tokens == entry.ids)
      #expect(results[UInt64(index)]?.text == entry.text)
    }
  }

  @Test(
    "Logits of float weights agree to a thousandth of their spread",
    arguments: [
      "llama", "llama-256-F16",
    ])
  func floatLogits(name: String) throws {
    let (logits, reference) = try Conformance.logits(name)
    #expect(logits.allSatisfy { $0.isFinite })
    let spread = (reference.max() ?? 0) - (reference.min() ?? 0)
    let worst = zip(logits, reference).map { abs($0 - $1) }.max() ?? .infinity
    print("\(name): largest difference \(worst / spread) of the spread")
    #expect(logits.count == reference.count && worst <= 1e-3 * spread)
  }

  @Test(
    "Logits of quantized weights agree by mean square error",
    arguments: ["llama-256-Q8_0", "llama-256-Q4_0", "llama-256-Q4_K_M"])
  func quantizedLogits(name: String) throws {
    let (logits, reference) = try Conformance.logits(name)
    let error = zip(logits, reference).reduce(0.0) { $0 + pow(Double($1.0 - $1.1), 2) }
    let power = reference.reduce(0.0) { $0 + pow(Double($1), 2) }
    print("\(name): normalised mean square error \(error / power)")
    #expect(logits.count == reference.count && error / power < 2e-3)
  }

  @Test("A real model gives the same bytes in any batch, chunk, path and after any resumption")
  func exactness() throws {
    let model = try Conformance.model("stories260K.gguf")
    let prompts = ["Once upon a time", "Lily", "The big red dog was", "A", "Tom and Sue went to"]
    let requests = prompts.enumerated().map { index, prompt in
      GenerationRequest(
        sequence: UInt64(index), promptTokens: model.encodePrompt(prompt),
        options: SamplingOptions(
          maxTokens: 150, temperature: Float(index) * 0.3, topP: 0.95, seed: 9, stop: ["ball."],
          logprobs: 1))
    }
    var reference: [UInt64: Generation] = [:]
    for request in requests {
      let engine = try Engine(
        model: model, options: EngineOptions(threads: 1, kernelPath: .scalar))
      reference[request.sequence] = try generate(engine, [request])[request.sequence]
    }
    for path in Conformance.paths {
      for chunk in [1, 3, 256] {
        let engine = try Engine(
          model: model,
          options: EngineOptions(prefillChunk: chunk, threads: 2, kernelPath: path))
        #expect(try generate(engine, requests) == reference)
      }
    }
    var numbers = SeededNumbers(seed: 10)
    let engine = try Engine(model: model)
    let resumed = requests.map { request in
      var request = request
      let tokens = reference[request.sequence]?.tokens ?? []
      request.resumedTokens = Array(
        tokens.prefix(Int.random(in: 0..<tokens.count, using: &numbers)))
      return request
    }
    for (id, rest) in try generate(engine, resumed) {
      let cut = resumed[Int(id)].resumedTokens.count
      #expect(rest.tokens == Array(reference[id]?.tokens.dropFirst(cut) ?? []))
      #expect(rest.pieces == Array(reference[id]?.pieces.dropFirst(cut) ?? []))
      #expect(rest.finish == reference[id]?.finish)
    }
  }
}
