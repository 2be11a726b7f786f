import Foundation
package import Inference
package import ModelFormats

/// A small random model of the Llama family, written to a file that goes away with it.
///
/// Its shapes are awkward on purpose: rows and heads that are no multiples of 16, grouped queries.
package final class TinyModel: Sendable {
  package static let width = 64
  package static let heads = 4
  package static let keyValueHeads = 2
  package static let headDimension = 24
  package static let hidden = 160
  package static let layers = 2
  package static let context = 1_200
  package static let vocabulary = 3 + 256 + 30

  /// Changes made to an otherwise good file.
  package struct Damage: Sendable {
    package var omitted: String?
    package var reshaped: String?
    package var notFinite: String?
    package var retyped: GGUFTensorType?

    package init(
      omitted: String? = nil, reshaped: String? = nil, notFinite: String? = nil,
      retyped: GGUFTensorType? = nil
    ) {
      self.omitted = omitted
      self.reshaped = reshaped
      self.notFinite = notFinite
      self.retyped = retyped
    }
  }

  package let path: String
  package let model: LanguageModel

  package init(
    type: GGUFTensorType = .f32, tied: Bool = false, seed: UInt64 = 1, ropeFactors: Bool = false
  ) throws {
    path = Self.newPath()
    try Self.write(to: path, type: type, tied: tied, seed: seed, ropeFactors: ropeFactors)
    model = try LanguageModel.load(path: path)
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
    var writer = GGUFWriter(metadata: metadata())
    var numbers = SeededNumbers(seed: seed)
    for (name, shape) in tensors(tied: tied, ropeFactors: ropeFactors) where name != damage.omitted
    {
      let stored =
        shape.count == 2 && name == "blk.1.ffn_up.weight"
        ? damage.retyped ?? type : shape.count == 2 ? type : .f32
      let rows = name == damage.reshaped ? (shape.last ?? 0) + 16 : shape.last ?? 0
      let shape = shape.count == 2 ? [shape[0], rows] : [rows]
      var floats = random(name, count: shape.reduce(1, *), &numbers)
      if name == damage.notFinite { floats[0] = .nan }
      try writer.addTensor(name, shape: shape, type: stored, bytes: stored.encode(floats))
    }
    try writer.write(to: path)
  }

  private static func random(
    _ name: String, count: Int, _ numbers: inout SeededNumbers
  ) -> [Float] {
    let range: ClosedRange<Float> =
      name.contains("norm") ? 0.5...1.5 : name.contains("rope") ? 1...4 : -0.35...0.35
    return (0..<count).map { _ in Float.random(in: range, using: &numbers) }
  }

  private static func tensors(tied: Bool, ropeFactors: Bool) -> [(String, [Int])] {
    let queries = heads * headDimension
    let keys = keyValueHeads * headDimension
    var list: [(String, [Int])] = [
      ("token_embd.weight", [width, vocabulary]), ("output_norm.weight", [width]),
    ]
    if !tied { list.append(("output.weight", [width, vocabulary])) }
    if ropeFactors { list.append(("rope_freqs.weight", [headDimension / 2])) }
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

  private static func metadata() -> GGUFMetadata {
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
      "llama.embedding_length": .uint32(UInt32(width)),
      "llama.block_count": .uint32(UInt32(layers)),
      "llama.feed_forward_length": .uint32(UInt32(hidden)),
      "llama.attention.head_count": .uint32(UInt32(heads)),
      "llama.attention.head_count_kv": .uint32(UInt32(keyValueHeads)),
      "llama.attention.key_length": .uint32(UInt32(headDimension)),
      "llama.attention.value_length": .uint32(UInt32(headDimension)),
      "llama.rope.dimension_count": .uint32(UInt32(headDimension)),
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

extension GGUFTensorType {
  /// Floats as this type stores them; of quantized types the largest magnitude in a block becomes
  /// the largest number.
  fileprivate func encode(_ floats: [Float]) -> [UInt8] {
    var bytes: [UInt8] = []
    func add<Value>(_ value: Value) { withUnsafeBytes(of: value) { bytes += $0 } }
    switch self {
    case .f16: floats.forEach { add(Float16($0)) }
    case .bf16: floats.forEach { add(UInt16($0.bitPattern >> 16)) }
    case .q8_0:
      for start in stride(from: 0, to: floats.count, by: 32) {
        let block = floats[start..<start + 32]
        let scale = (block.map(abs).max() ?? 0) / 127
        add(Float16(scale))
        block.forEach { add(Int8(($0 / scale).rounded())) }
      }
    case .q4_0, .q5_0:
      let zero: Float = self == .q4_0 ? 8 : 16
      for start in stride(from: 0, to: floats.count, by: 32) {
        let block = floats[start..<start + 32]
        let scale = (block.map(abs).max() ?? 0) / (zero - 1)
        add(Float16(scale))
        let values = block.map { UInt32(($0 / scale).rounded() + zero) }
        if self == .q5_0 {
          add(values.enumerated().reduce(UInt32(0)) { $0 | ($1.element >> 4) << UInt32($1.offset) })
        }
        for i in 0..<16 { add(UInt8(values[i] & 15 | (values[i + 16] & 15) << 4)) }
      }
    case .f32: floats.forEach { add($0) }
    default: bytes = Array(repeating: 0, count: floats.count / blockElements * blockBytes)
    }
    return bytes
  }
}
