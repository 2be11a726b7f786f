import Foundation
import ModelFormats

/// A folder of a test's own, removed with it.
final class TemporaryFolder {
  let url: URL

  init() throws {
    url = FileManager.default.temporaryDirectory.appending(path: "millrace-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(at: url) }

  func path(_ name: String) -> String { url.appending(path: name).path }

  /// Writes bytes and gives the file's path.
  func file(_ bytes: [UInt8], named name: String = "model.gguf") throws -> String {
    try Data(bytes).write(to: URL(fileURLWithPath: path(name)))
    return path(name)
  }
}

/// A llama of two layers' metadata and a few small tensors.
enum ModelFixture {
  static let metadata: KeyValuePairs<String, GGUFValue> = [
    "general.architecture": .string("llama"),
    "general.name": .string("tiny"),
    "general.alignment": .uint32(64),
    "llama.context_length": .uint32(128),
    "llama.block_count": .uint32(2),
    "llama.embedding_length": .uint64(8),
    "llama.feed_forward_length": .uint32(24),
    "llama.attention.head_count": .uint32(4),
    "llama.attention.head_count_kv": .uint32(2),
    "llama.attention.layer_norm_rms_epsilon": .float32(1e-5),
    "tokenizer.ggml.model": .string("llama"),
    "tokenizer.ggml.tokens": .array(.string(["<unk>", "<s>", "</s>", "▁a", "é"])),
    "tokenizer.ggml.scores": .array(.float32([0, 0, 0, -1, -2])),
    "tokenizer.ggml.token_type": .array(.int32([2, 3, 3, 1, 1])),
    "test.nested": .array(.array([.uint8([1, 2]), .array([.bool([true])]), .string([])])),
  ]

  static func writer() throws -> GGUFWriter {
    var writer = GGUFWriter(metadata: metadata)
    try writer.addTensor(
      "token_embd.weight", shape: [8, 5], floats: (0..<40).map { Float($0) })
    try writer.addTensor("output_norm.weight", shape: [8], floats: Array(repeating: 1, count: 8))
    try writer.addTensor(
      "blk.0.attn_q.weight", shape: [32, 3], type: .q8_0, bytes: (0..<102).map { UInt8($0) })
    return writer
  }
}

/// SplitMix64: small, and the same numbers on every machine.
struct SeededGenerator: RandomNumberGenerator {
  private var state: UInt64

  init(seed: UInt64) { state = seed }

  /// A generator for a property test, whose seed is printed; MILLRACE_TEST_SEED repeats a run.
  static func announced(_ test: String) -> SeededGenerator {
    let stated = ProcessInfo.processInfo.environment["MILLRACE_TEST_SEED"].flatMap { UInt64($0) }
    let seed = stated ?? UInt64.random(in: 0...UInt64.max)
    print("\(test): seed \(seed) (MILLRACE_TEST_SEED=\(seed) repeats it)")
    return SeededGenerator(seed: seed)
  }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var mixed = state
    mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
    return mixed ^ (mixed >> 31)
  }
}
