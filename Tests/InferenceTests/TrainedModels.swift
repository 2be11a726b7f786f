import Foundation
import Inference

/// The trained models that are here: the bundled ones, and the reference folder's.
enum TrainedModels {
  /// The bundled draft.
  static let draft = bundled("storyteller-draft-q8_0.gguf")
  /// The models to generate with.
  static let targets =
    [bundled("storyteller-q8_0.gguf")]
    + (Conformance.folder == nil ? [] : [Conformance.url("stories260K.gguf").path])

  private static func bundled(_ name: String) -> String {
    URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent().appendingPathComponent("models/\(name)").path
  }
}

/// Computes for as long as it takes, behind all others, and without a thread of the pool on which
/// other tests go on meanwhile.
func onThreadOfItsOwn<Value: Sendable>(
  _ body: @escaping @Sendable () throws -> Value
) async throws -> Value {
  try await withCheckedThrowingContinuation { continuation in
    Thread {
      Engine.giveWay(niceness: 10)
      continuation.resume(with: Result { try body() })
    }.start()
  }
}

/// A number in a column of a table.
func column(_ number: Int, _ width: Int) -> String {
  let digits = String(number)
  return String(repeating: " ", count: max(width - digits.count, 0)) + digits
}
