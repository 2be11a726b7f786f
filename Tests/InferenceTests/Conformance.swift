import Foundation
import Inference
import Tensors

/// The folder of reference files, as `MILLRACE_CONFORMANCE` names it.
enum Conformance {
  struct Generation: Decodable {
    let prompt: String
    let promptIDs: [Int32]
    let ids: [Int32]
    let text: String

    enum CodingKeys: String, CodingKey {
      case prompt, ids, text
      case promptIDs = "prompt_ids"
    }
  }

  static let folder = ProcessInfo.processInfo.environment["MILLRACE_CONFORMANCE"]
  static let paths = KernelPath.allCases.filter { $0 != .auto && $0.isSupported }

  static func url(_ name: String) -> URL {
    URL(fileURLWithPath: folder ?? "").appendingPathComponent(name)
  }

  static func model(_ name: String) throws -> LanguageModel {
    try LanguageModel.load(path: url(name).path)
  }

  static func generations() throws -> [Generation] {
    let text = try String(
      contentsOf: url("generations/stories260K-greedy.jsonl"), encoding: .utf8)
    return try text.split(separator: "\n").map {
      try JSONDecoder().decode(Generation.self, from: Data($0.utf8))
    }
  }

  /// A model's logits of the recorded tokens, ours and the reference.
  static func logits(_ name: String) throws -> (ours: [Float], reference: [Float]) {
    let tokens = try JSONDecoder().decode(
      [Int32].self, from: Data(contentsOf: url("logits/tokens.json")))
    let data = try Data(contentsOf: url("logits/\(name).logits.f32"))
    let reference = stride(from: 0, to: data.count, by: 4).map { offset in
      Float(
        bitPattern: data[offset..<offset + 4].reversed().reduce(UInt32(0)) {
          $0 << 8 | UInt32($1)
        })
    }
    let ours = try Engine(model: try model("logits/\(name).gguf")).logits(tokens: tokens)
    return (ours, reference)
  }
}
