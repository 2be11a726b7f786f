import Inference
import ModelFormats
import TestModels
import Testing

/// Promise P4 over time: the same bits from release to release, or another revision.
@Suite("Numerics")
struct NumericsTests {
  /// What a revision computes with one type of weights.
  struct Golden: Sendable, CustomTestStringConvertible {
    let type: GGUFTensorType
    let logits: UInt64
    let tokens: UInt64
    var testDescription: String { type.name }
  }

  /// The revision that these were computed with. Where a test here fails because arithmetic,
  /// tokenizing or sampling changed on purpose: raise `LanguageModel.numericsRevision`, and this.
  static let revision = 2
  static let goldens = [
    Golden(type: .f32, logits: 0xC3EF_B1BB_821C_F875, tokens: 0x7A83_6690_41C6_675D),
    Golden(type: .f16, logits: 0x1C1B_AE9F_F262_132D, tokens: 0x7A83_6690_41C6_675D),
    Golden(type: .bf16, logits: 0xB64D_85BD_3532_1565, tokens: 0x8BA2_DC83_8B82_28EE),
    Golden(type: .q8_0, logits: 0x8C13_FA11_7DCE_8208, tokens: 0x3964_38A6_C04D_729B),
    Golden(type: .q5_0, logits: 0x0A2B_B9FC_AD90_689D, tokens: 0x3210_F69E_A60F_49A3),
    Golden(type: .q4_0, logits: 0x521C_A9F2_CBE5_EE8F, tokens: 0x5B48_CC12_51A2_B43D),
    Golden(type: .q4K, logits: 0x7A2D_C194_A388_B7A9, tokens: 0x23F5_169A_7411_0150),
    Golden(type: .q6K, logits: 0xFCF4_4AF2_A2FF_4CEA, tokens: 0x6F0C_8C7B_F374_30A0),
  ]

  @Test("Logits and tokens are those of the stated revision, bit for bit", arguments: goldens)
  func golden(expected: Golden) throws {
    #expect(LanguageModel.numericsRevision == Self.revision)
    let tiny = try TinyModel(type: expected.type, ropeFactors: true)
    let engine = try Engine(
      model: tiny.model, options: EngineOptions(maxTokensPerStep: 640, contextLength: 640))
    let text = tiny.model.encodePrompt("once upon a time é 木 \u{1F600}\n")
    let long = (0..<600).map { Int32($0 * 7_919 % (TinyModel.vocabulary - 3) + 3) }
    var logits = Hash()
    for value in try engine.logits(tokens: text + long) { logits.add(value.bitPattern) }
    var tokens = Hash()
    let requests = [
      SamplingOptions(maxTokens: 24, temperature: 0, ignoreEnd: true),
      SamplingOptions(maxTokens: 24, temperature: 1, seed: 7, ignoreEnd: true),
      SamplingOptions(
        maxTokens: 24, temperature: 0.8, topK: 40, topP: 0.9, minP: 0.01, repetitionPenalty: 1.2,
        presencePenalty: 0.3, frequencyPenalty: 0.1, seed: 8, ignoreEnd: true),
    ].enumerated().map { index, options in
      GenerationRequest(sequence: UInt64(index), promptTokens: text, options: options)
    }
    let results = try generate(engine, requests)
    for request in requests {
      for token in results[request.sequence]?.tokens ?? [] {
        tokens.add(UInt32(bitPattern: token))
      }
    }
    #expect(logits.value == expected.logits && tokens.value == expected.tokens)
    if logits.value != expected.logits || tokens.value != expected.tokens {
      print("Golden(type: .\(expected.type), logits: \(logits), tokens: \(tokens)),")
    }
  }

  @Test("The revision is part of a model's fingerprint")
  func fingerprint() throws {
    let tiny = try TinyModel()
    let digest = try GGUFFile(path: tiny.path).computeFingerprint()
    #expect(tiny.model.fingerprint == "\(digest).\(LanguageModel.numericsRevision)")
  }
}

/// FNV-1a of 64 bits, over words in little-endian order.
private struct Hash: CustomStringConvertible {
  private(set) var value: UInt64 = 0xCBF2_9CE4_8422_2325

  mutating func add(_ word: UInt32) {
    for shift in stride(from: UInt32(0), to: 32, by: 8) {
      value = (value ^ UInt64(word >> shift & 0xFF)) &* 0x100_0000_01B3
    }
  }

  var description: String { "0x" + String(value, radix: 16, uppercase: true) }
}
