import Foundation
import Inference
import ModelFormats
import TestModels
import Testing

@Suite("A damaged model file")
struct ModelFuzzTests {
  /// Where the metadata and the list of tensors end, roughly: most of it is the vocabulary.
  private static func directoryEnd(_ bytes: [UInt8]) throws -> Int {
    let last = try #require(bytes.firstRange(of: Array("blk.1.ffn_down.weight".utf8)))
    return last.upperBound + 40
  }

  @Test("gives output or an error, never a crash", arguments: [UInt64(1), 2, 3, 4])
  func fuzz(seed: UInt64) throws {
    var numbers = SeededNumbers(seed: seed)
    let path = TinyModel.newPath()
    defer { try? FileManager.default.removeItem(atPath: path) }
    try TinyModel.write(to: path, type: .q8_0, ropeFactors: true)
    let original = [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
    let directory = 0..<(try Self.directoryEnd(original))
    var outcome = (refused: 0, ran: 0)
    for _ in 0..<125 {
      var bytes = original
      switch Int.random(in: 0..<10, using: &numbers) {
      case 0: bytes.removeLast(Int.random(in: 1..<bytes.count, using: &numbers))
      case 1...3: FileDamage.flipBits(&bytes, in: directory, &numbers)
      case 4...5: FileDamage.patchNumbers(&bytes, in: directory, &numbers)
      // Scales and quants: infinities, NaNs and what is far too large among them.
      case 6...7: FileDamage.flipBits(&bytes, in: directory.upperBound..<bytes.count, &numbers)
      default: FileDamage.patchNumbers(&bytes, in: directory.upperBound..<bytes.count, &numbers)
      }
      try Data(bytes).write(to: URL(fileURLWithPath: path))
      do throws(InferenceError) {
        try use(path)
        outcome.ran += 1
      } catch {
        #expect(!error.message.isEmpty)
        outcome.refused += 1
      }
    }
    #expect(outcome.refused > 20 && outcome.ran > 20, "\(outcome)")
  }

  /// What a service does with a model: loads it, reads a prompt, makes a few tokens.
  private func use(_ path: String) throws(InferenceError) {
    let model = try LanguageModel.load(path: path, options: LoadOptions(threads: 1))
    let engine = try Engine(
      model: model,
      options: EngineOptions(
        maxSequences: 2, maxTokensPerStep: 8,
        contextLength: max(2, min(64, model.trainedContextLength)), threads: 1))
    let prompt = model.encodePrompt("ab é 木\n</s>")
    #expect(prompt.allSatisfy { (0..<Int32(model.vocabularySize)).contains($0) })
    for temperature in [Float(0), 1] {
      try engine.add(
        GenerationRequest(
          sequence: UInt64(temperature), promptTokens: prompt,
          options: SamplingOptions(temperature: temperature, logprobs: 2)))
    }
    for _ in 0..<5 {
      for output in try engine.step() {
        for token in output.tokens {
          #expect((0..<Int32(model.vocabularySize)).contains(token.token))
        }
      }
    }
  }
}
