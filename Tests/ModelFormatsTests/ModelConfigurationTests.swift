import Foundation
import ModelFormats
import Testing

@Suite("A model's configuration")
struct ModelConfigurationTests {
  private func configuration(
    _ changes: KeyValuePairs<String, GGUFValue> = [:], removing key: String? = nil
  ) throws -> ModelConfiguration {
    var metadata = GGUFMetadata(ModelFixture.metadata)
    for (key, value) in changes { metadata[key] = value }
    if let key { metadata[key] = nil }
    return try ModelConfiguration(metadata: metadata, tensors: [])
  }

  @Test("is read from the metadata, with the defaults of the architecture")
  func fields() throws {
    let read = try configuration()
    #expect(read.architecture.name == "llama")
    #expect(read.contextLength == 128)
    #expect(read.layers == 2)
    #expect(read.width == 8)
    #expect(read.feedForwardLength == 24)
    #expect(read.attentionHeads == 4)
    #expect(read.keyValueHeads == 2)
    #expect(read.queriesPerKeyValueHead == 2)
    #expect(read.headDimension == 2)
    #expect(read.ropeDimension == 2)
    #expect(read.ropeBase == 10_000)
    #expect(read.ropeScaling == nil)
    #expect(read.rmsEpsilon == 1e-5)
    #expect(read.vocabularySize == 5)
    #expect(read.hasTiedOutput)
  }

  @Test("takes key and value heads from the query heads where they are not stated")
  func multiHead() throws {
    #expect(try configuration(removing: "llama.attention.head_count_kv").keyValueHeads == 4)
  }

  @Test("knows whether the output layer is the embedding")
  func tiedOutput() throws {
    let folder = try TemporaryFolder()
    var writer = try ModelFixture.writer()
    try writer.write(to: folder.path("tied.gguf"))
    #expect(try ModelConfiguration(GGUFFile(path: folder.path("tied.gguf"))).hasTiedOutput)
    let weights = [Float](repeating: 0, count: 40)
    try writer.addTensor("output.weight", shape: [8, 5], floats: weights)
    try writer.write(to: folder.path("untied.gguf"))
    #expect(try !ModelConfiguration(GGUFFile(path: folder.path("untied.gguf"))).hasTiedOutput)
  }

  @Test("has a vocabulary as large as the embedding")
  func embeddingRows() throws {
    let folder = try TemporaryFolder()
    var writer = GGUFWriter(metadata: ModelFixture.metadata)
    try writer.addTensor(
      "token_embd.weight", shape: [8, 4], floats: Array(repeating: 0, count: 32))
    try writer.write(to: folder.path("small.gguf"))
    let file = try GGUFFile(path: folder.path("small.gguf"))
    let error = #expect(throws: ModelFormatError.self) { try ModelConfiguration(file) }
    #expect(error?.code == .invalidValue)
    #expect(error?.path == folder.path("small.gguf"))
  }

  @Test("reads linear scaling, also in the old form")
  func ropeScaling() throws {
    let linear = try configuration([
      "llama.rope.scaling.type": .string("linear"), "llama.rope.scaling.factor": .float32(4),
      "llama.rope.scaling.original_context_length": .uint32(32),
    ]).ropeScaling
    #expect(linear?.method == .linear)
    #expect(linear?.factor == 4)
    #expect(linear?.originalContextLength == 32)
    #expect(try configuration(["llama.rope.scale_linear": .float32(2)]).ropeScaling?.factor == 2)
    #expect(try configuration(["llama.rope.scaling.type": .string("none")]).ropeScaling == nil)
    #expect(
      code { _ = try configuration(["llama.rope.scaling.type": .string("magic")]) }
        == .invalidValue)
    #expect(
      code { _ = try configuration(["llama.rope.scale_linear": .float32(.nan)]) } == .invalidValue)
  }

  @Test("names the key of a scaling factor that is out of range", arguments: [1e-30, 0, 5_000])
  func scalingFactor(factor: Float) {
    for key in ["llama.rope.scaling.factor", "llama.rope.scale_linear"] {
      let error = #expect(throws: ModelFormatError.self) {
        try configuration([key: .float32(factor)])
      }
      #expect(error?.code == .invalidValue && error?.message.contains("'\(key)'") == true)
    }
  }

  @Test(
    "refuses numbers outside their range",
    arguments: [
      ("llama.context_length", GGUFValue.uint32(0)),
      ("llama.context_length", .uint64(1 << 40)),
      ("llama.block_count", .uint32(0)),
      ("llama.block_count", .uint32(100_000)),
      ("llama.embedding_length", .int32(-8)),
      ("llama.embedding_length", .uint32(1 << 20)),
      ("llama.feed_forward_length", .uint32(0)),
      ("llama.attention.head_count", .uint32(0)),
      ("llama.attention.head_count", .uint32(3)),
      ("llama.attention.head_count_kv", .uint32(0)),
      ("llama.attention.head_count_kv", .uint32(3)),
      ("llama.attention.key_length", .uint32(0)),
      ("llama.attention.value_length", .uint32(4)),
      ("llama.rope.dimension_count", .uint32(1)),
      ("llama.rope.dimension_count", .uint32(4)),
      ("llama.rope.freq_base", .float32(0)),
      ("llama.rope.freq_base", .float32(.infinity)),
      ("llama.attention.layer_norm_rms_epsilon", .float32(.nan)),
      ("llama.attention.layer_norm_rms_epsilon", .float32(-1)),
      ("llama.vocab_size", .uint32(6)),
    ])
  func outOfRange(_ key: String, _ value: GGUFValue) throws {
    let error = #expect(throws: ModelFormatError.self) { try configuration([key: value]) }
    #expect(error?.code == .invalidValue)
    #expect(error?.message.contains("llama.") == true)
  }

  @Test(
    "names a key that is missing",
    arguments: [
      "general.architecture", "llama.context_length", "llama.block_count",
      "llama.embedding_length", "llama.feed_forward_length", "llama.attention.head_count",
      "llama.attention.layer_norm_rms_epsilon",
    ])
  func missing(_ key: String) throws {
    let error = #expect(throws: ModelFormatError.self) { try configuration(removing: key) }
    #expect(error?.code == .missingKey)
    #expect(error?.message.contains(key) == true)
  }

  @Test("refuses architectures that are not known, and mixtures of experts")
  func unsupported() throws {
    let error = #expect(throws: ModelFormatError.self) {
      try configuration(["general.architecture": .string("mamba")])
    }
    #expect(error?.code == .unsupportedArchitecture)
    #expect(error?.message.contains("supported: llama") == true)
    #expect(
      code { _ = try configuration(["llama.expert_count": .uint32(8)]) }
        == .unsupportedArchitecture)
  }

  @Test(
    "of a trained model is as its makers say",
    .enabled(if: ProcessInfo.processInfo.environment["MILLRACE_CONFORMANCE"] != nil))
  func trainedModel() throws {
    let folder = try #require(ProcessInfo.processInfo.environment["MILLRACE_CONFORMANCE"])
    let file = try GGUFFile(path: "\(folder)/stories260K.gguf")
    let read = try ModelConfiguration(file)
    #expect(read.width == 64)
    #expect(read.layers == 5)
    #expect(read.headDimension == 8)
    #expect(read.keyValueHeads == 4)
    #expect(read.vocabularySize == 512)
    #expect(!read.hasTiedOutput)
    let vocabulary = try GGUFVocabulary(file.metadata)
    #expect(vocabulary.pieces.count == 512)
    #expect(vocabulary.endOfText == 2)
    for name in ["gemma3", "qwen2", "qwen3"] {
      let other = try GGUFFile(path: "\(folder)/logits/\(name).gguf")
      #expect(code { _ = try ModelConfiguration(other) } == .unsupportedArchitecture)
    }
    for name in ["llama", "llama-256-F16", "llama-256-Q4_0", "llama-256-Q4_K_M", "llama-256-Q8_0"] {
      let other = try GGUFFile(path: "\(folder)/logits/\(name).gguf")
      #expect(try ModelConfiguration(other).vocabularySize == 512)
    }
  }
}
