import Foundation
package import Inference
package import ModelFormats

/// A small random model of the Llama family, written to a file that goes away with it; the same
/// bytes each time.
package final class TinyModel: Sendable {
  /// The sizes that depend on how weights are stored.
  private struct Shape {
    let width: Int
    let headDimension: Int
    let hidden: Int

    /// Awkward on purpose: rows and heads that are no multiples of 16. Rows in blocks of 256 must be
    /// longer.
    init(_ type: GGUFTensorType) {
      (width, headDimension, hidden) = type.blockElements == 256 ? (256, 64, 256) : (64, 24, 160)
    }
  }

  private static let heads = 4
  private static let keyValueHeads = 2
  private static let layers = 2
  package static let context = 1_200
  package static let vocabulary = 3 + 256 + 30

  /// Changes made to an otherwise good file.
  package struct Damage: Sendable {
    package var omitted: String?
    package var reshaped: String?
    package var notFinite: String?
    package var retyped: GGUFTensorType?
    package var added: String?
    package var ropeFactor: Float?
    package var metadata: [String: GGUFValue]

    package init(
      omitted: String? = nil, reshaped: String? = nil, notFinite: String? = nil,
      retyped: GGUFTensorType? = nil, added: String? = nil, ropeFactor: Float? = nil,
      metadata: [String: GGUFValue] = [:]
    ) {
      self.omitted = omitted
      self.reshaped = reshaped
      self.notFinite = notFinite
      self.retyped = retyped
      self.added = added
      self.ropeFactor = ropeFactor
      self.metadata = metadata
    }
  }

  package let path: String
  package let model: LanguageModel

  package init(
    type: GGUFTensorType = .f32, tied: Bool = false, seed: UInt64 = 1, ropeFactors: Bool = false,
    options: LoadOptions = LoadOptions()
  ) throws {
    path = Self.newPath()
    try Self.write(to: path, type: type, tied: tied, seed: seed, ropeFactors: ropeFactors)
    model = try LanguageModel.load(path: path, options: options)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  package static func newPath() -> String {
    FileManager.default.temporaryDirectory
      .appendingPathComponent("tiny-\(UUID().uuidString).gguf").path
  }

  package static func write(
    to path: String, type: GGUFTensorType, tied: Bool = false, seed: UInt64 = 1,
    ropeFactors: Bool = false, damage: Damage = Damage()
  ) throws {
    let sizes = Shape(type)
    var writer = GGUFWriter(metadata: metadata(sizes))
    for (key, value) in damage.metadata { writer.metadata[key] = value }
    var numbers = SeededNumbers(seed: seed)
    var list = tensors(sizes, tied: tied, ropeFactors: ropeFactors || damage.ropeFactor != nil)
    if let added = damage.added { list.append((added, [sizes.width])) }
    for (name, shape) in list where name != damage.omitted {
      let stored =
        shape.count == 2 && name == "blk.1.ffn_up.weight"
        ? damage.retyped ?? type : shape.count == 2 ? type : .f32
      let rows = name == damage.reshaped ? (shape.last ?? 0) + 16 : shape.last ?? 0
      let shape = shape.count == 2 ? [shape[0], rows] : [rows]
      var floats = random(name, count: shape.reduce(1, *), &numbers)
      if name == damage.notFinite { floats[0] = .nan }
      if name == "rope_freqs.weight", let factor = damage.ropeFactor { floats[1] = factor }
      try writer.addTensor(name, shape: shape, type: stored, bytes: stored.encode(floats))
    }
    try writer.write(to: path)
  }

  private static func random(
    _ name: String, count: Int, _ numbers: inout SeededNumbers
  ) -> [Float] {
    let range: ClosedRange<Float> =
      name.contains("norm") ? 0.5...1.5 : name.contains("rope") ? 1...4 : -0.35...0.35
    return (0..<count).map { _ in numbers.fixedFloat(in: range) }
  }

  private static func tensors(
    _ sizes: Shape, tied: Bool, ropeFactors: Bool
  ) -> [(String, [Int])] {
    let (width, hidden) = (sizes.width, sizes.hidden)
    let queries = heads * sizes.headDimension
    let keys = keyValueHeads * sizes.headDimension
    var list: [(String, [Int])] = [
      ("token_embd.weight", [width, vocabulary]), ("output_norm.weight", [width]),
    ]
    if !tied { list.append(("output.weight", [width, vocabulary])) }
    if ropeFactors { list.append(("rope_freqs.weight", [sizes.headDimension / 2])) }
    for layer in 0..<layers {
      list += [
        ("blk.\(layer).attn_norm.weight", [width]),
        ("blk.\(layer).attn_q.weight", [width, queries]),
        ("blk.\(layer).attn_k.weight", [width, keys]),
        ("blk.\(layer).attn_v.weight", [width, keys]),
        ("blk.\(layer).attn_output.weight", [queries, width]),
        ("blk.\(layer).ffn_norm.weight", [width]),
        ("blk.\(layer).ffn_gate.weight", [width, hidden]),
        ("blk.\(layer).ffn_up.weight", [width, hidden]),
        ("blk.\(layer).ffn_down.weight", [hidden, width]),
      ]
    }
    return list
  }

  private static func metadata(_ sizes: Shape) -> GGUFMetadata {
    let letters = "abcdefghijklmnopqrstuvwxyz".map(String.init)
    let bytes = (0..<256).map { (byte: Int) -> String in
      let digits = String(byte, radix: 16).uppercased()
      return "<0x\(byte < 16 ? "0" : "")\(digits)>"
    }
    let pieces: [String] = ["<unk>", "<s>", "</s>"] + bytes + letters + ["▁", "▁a", "é", "木"]
    let byteTypes = [Int32](repeating: 6, count: 256)
    let types: [Int32] = [2, 3, 3] + byteTypes + [Int32](repeating: 1, count: 30)
    let scores = [Float](repeating: 0, count: pieces.count)
    let pairs: KeyValuePairs<String, GGUFValue> = [
      "general.architecture": .string("llama"),
      "llama.context_length": .uint32(UInt32(context)),
      "llama.embedding_length": .uint32(UInt32(sizes.width)),
      "llama.block_count": .uint32(UInt32(layers)),
      "llama.feed_forward_length": .uint32(UInt32(sizes.hidden)),
      "llama.attention.head_count": .uint32(UInt32(heads)),
      "llama.attention.head_count_kv": .uint32(UInt32(keyValueHeads)),
      "llama.attention.key_length": .uint32(UInt32(sizes.headDimension)),
      "llama.attention.value_length": .uint32(UInt32(sizes.headDimension)),
      "llama.rope.dimension_count": .uint32(UInt32(sizes.headDimension)),
      "llama.attention.layer_norm_rms_epsilon": .float32(1e-5),
      "tokenizer.ggml.model": .string("llama"),
      "tokenizer.ggml.tokens": .array(.string(pieces)),
      "tokenizer.ggml.scores": .array(.float32(scores)),
      "tokenizer.ggml.token_type": .array(.int32(types)),
      "tokenizer.ggml.bos_token_id": .uint32(1),
      "tokenizer.ggml.eos_token_id": .uint32(2),
      "tokenizer.ggml.unknown_token_id": .uint32(0),
    ]
    return GGUFMetadata(pairs)
  }
}
