import Foundation
import Inference
import ModelFormats
import Tensors
import Testing

/// What quantizing activations costs: the bundled storyteller against itself with its weights, the
/// same values, as floats, by which activations are not quantized.
@Suite("Quality of quantized activations")
struct QuantizationQualityTests {
  @Test("Distributions stay within a thousandth of a nat of those with float activations")
  func storyteller() throws {
    let quantized = try LanguageModel.load(path: TrainedModels.targets[0])
    let floats = try Self.withFloatWeights(TrainedModels.targets[0])
    let engine = try Engine(model: quantized, options: EngineOptions(contextLength: 256))
    let reference = try Engine(model: floats, options: EngineOptions(contextLength: 256))
    let requests = try TalePrompts.requests(quantized, count: 24).map { request in
      GenerationRequest(
        sequence: request.sequence, promptTokens: request.promptTokens,
        options: SamplingOptions(
          maxTokens: 100, temperature: 1, seed: request.sequence, ignoreEnd: true))
    }
    let tales = try generate(reference, requests)
    var divergences: [Double] = []
    var same = 0
    for request in requests {
      let text = request.promptTokens + (tales[request.sequence]?.tokens ?? [])
      let width = quantized.vocabularySize
      let (found, expected) = (try engine.logits(tokens: text), try reference.logits(tokens: text))
      for start in stride(from: 0, to: found.count, by: width) {
        let (p, q) = (expected[start..<start + width], found[start..<start + width])
        divergences.append(Self.divergence(Array(p), Array(q)))
        if p.firstIndex(of: p.max() ?? 0) == q.firstIndex(of: q.max() ?? 0) { same += 1 }
      }
    }
    let mean = divergences.reduce(0, +) / Double(divergences.count)
    let agreement = Double(same) / Double(divergences.count)
    print(
      "\(divergences.count) tokens: mean divergence \(mean) nats, the same likeliest token \(agreement)"
    )
    #expect(mean > 0 && mean < 0.001 && agreement > 0.98)
  }

  /// The Kullback-Leibler divergence of two distributions, from their logits.
  private static func divergence(_ p: [Float], _ q: [Float]) -> Double {
    func logarithms(_ logits: [Float]) -> [Double] {
      let largest = Double(logits.max() ?? 0)
      let total = largest + log(logits.reduce(0.0) { $0 + exp(Double($1) - largest) })
      return logits.map { Double($0) - total }
    }
    return zip(logarithms(p), logarithms(q)).reduce(0.0) { $0 + exp($1.0) * ($1.0 - $1.1) }
  }

  /// The model with weights of Q8_0 (blocks of a half-float scale and 32 signed bytes) unpacked.
  private static func withFloatWeights(_ path: String) throws -> LanguageModel {
    let file = try GGUFFile(path: path)
    var writer = GGUFWriter(metadata: file.metadata)
    for tensor in file.tensors {
      let bytes = Array(file.bytes(of: tensor))
      guard tensor.type == .q8_0 else {
        try writer.addTensor(tensor.name, shape: tensor.shape, type: tensor.type, bytes: bytes)
        continue
      }
      var values: [Float] = []
      for block in stride(from: 0, to: bytes.count, by: 34) {
        let scale = Float16(bitPattern: UInt16(bytes[block]) | UInt16(bytes[block + 1]) << 8)
        values += bytes[block + 2..<block + 34].map { Float(scale) * Float(Int8(bitPattern: $0)) }
      }
      try writer.addTensor(tensor.name, shape: tensor.shape, floats: values)
    }
    let copy = FileManager.default.temporaryDirectory
      .appendingPathComponent("storyteller-\(UUID().uuidString).gguf").path
    defer { try? FileManager.default.removeItem(atPath: copy) }
    try writer.write(to: copy)
    return try LanguageModel.load(path: copy)
  }
}
