import Foundation
import Inference
import ModelFormats
import TestModels
import Testing

@Suite("Damaged models")
struct DamagedModelTests {
  private func load(_ damage: TinyModel.Damage) throws -> LanguageModel {
    let path = TinyModel.newPath()
    defer { try? FileManager.default.removeItem(atPath: path) }
    try TinyModel.write(to: path, type: .f32, damage: damage)
    return try LanguageModel.load(path: path)
  }

  static let names = [
    "token_embd.weight", "output_norm.weight", "blk.0.attn_norm.weight", "blk.0.attn_q.weight",
    "blk.1.attn_k.weight", "blk.0.attn_v.weight", "blk.1.attn_output.weight",
    "blk.0.ffn_norm.weight", "blk.1.ffn_gate.weight", "blk.0.ffn_up.weight",
    "blk.1.ffn_down.weight",
  ]

  @Test("A missing tensor is named", arguments: names)
  func missing(name: String) throws {
    let error = #expect(throws: InferenceError.self) {
      try load(TinyModel.Damage(omitted: name))
    }
    #expect(error?.description.contains(name) == true)
  }

  @Test("A tensor of the wrong shape is named", arguments: names)
  func misshapen(name: String) throws {
    let error = #expect(throws: InferenceError.self) {
      try load(TinyModel.Damage(reshaped: name))
    }
    #expect(error?.description.contains(name) == true)
  }

  @Test("A tensor type without kernels is named with its tensor")
  func unsupportedType() throws {
    let error = #expect(throws: InferenceError.self) {
      try load(TinyModel.Damage(retyped: .q4_1))
    }
    #expect(error?.code == .modelUnsupported)
    #expect(error?.context == ["tensor": "blk.1.ffn_up.weight", "type": "Q4_1"])
  }

  @Test(
    "A tensor that is not computed is named",
    arguments: ["blk.0.attn_q.bias", "blk.1.attn_q_norm.weight", "output.bias"])
  func unused(name: String) throws {
    let error = #expect(throws: InferenceError.self) { try load(TinyModel.Damage(added: name)) }
    #expect(error?.code == .modelUnsupported && error?.context == ["tensor": name])
  }

  @Test("A table of rotations, which is computed here anyway, may be there")
  func derived() throws {
    _ = try load(TinyModel.Damage(added: "blk.0.attn_rot_embd"))
  }

  @Test("Factors of the rotation that are out of range are refused", arguments: [0, 1e-30, 1e9])
  func ropeFactors(factor: Float) throws {
    let error = #expect(throws: InferenceError.self) {
      try load(TinyModel.Damage(ropeFactor: factor))
    }
    #expect(error?.code == .tensorInvalid && error?.context == ["tensor": "rope_freqs.weight"])
    _ = try load(TinyModel.Damage(ropeFactor: 0x1p-10))
  }

  @Test("A loaded model does not look at its file again")
  func overwritten() throws {
    let tiny = try TinyModel(type: .q8_0, tied: true)
    let engine = try Engine(model: tiny.model)
    let before = try engine.logits(tokens: [1, 270, 271])
    let size = try Data(contentsOf: URL(fileURLWithPath: tiny.path)).count
    let handle = try #require(FileHandle(forWritingAtPath: tiny.path))
    try handle.write(contentsOf: Data(repeating: 0x55, count: size))
    #expect(try engine.logits(tokens: [1, 270, 271]) == before)
    // Reading a page that is gone from a map would end the process.
    try handle.truncate(atOffset: 0)
    #expect(try engine.logits(tokens: [1, 270, 271]) == before)
  }

  @Test(
    "A weight that is not a number fails its sequences, not the engine",
    arguments: [
      "output.weight", "blk.0.attn_k.weight", "blk.1.ffn_down.weight",
    ])
  func notFinite(name: String) throws {
    let model = try load(TinyModel.Damage(notFinite: name))
    let engine = try Engine(model: model, options: EngineOptions(contextLength: 64))
    let requests = [0.0, 1.0].enumerated().map { index, temperature in
      GenerationRequest(
        sequence: UInt64(index), promptTokens: [1, 4, 5],
        options: SamplingOptions(temperature: Float(temperature)))
    }
    for result in try generate(engine, requests).values {
      #expect(result.failure == .notFinite && result.tokens.isEmpty)
    }
    #expect(engine.statistics.kvBlocksInUse == 0)
  }

  @Test("A file that is not there is an error with its path")
  func noFile() {
    let error = #expect(throws: InferenceError.self) {
      try LanguageModel.load(path: "/nonexistent/model.gguf")
    }
    #expect(error?.code == .modelUnreadable)
    #expect(error?.context["path"] == "/nonexistent/model.gguf")
  }
}
