import ModelFormats
import Tensors

/// The token embedding, as the file stores it.
///
/// A copy, like all weights: what a model computes must not change when somebody writes over its
/// file.
struct EmbeddingTable: Sendable {
  private let rows: [UInt8]
  private let type: DType
  private let columns: Int

  /// Bytes held.
  var byteCount: Int { rows.count }

  /// Finds, checks and copies the table.
  init(
    _ name: String, tensors: ModelTensors, vocabulary: Int, width: Int
  ) throws(InferenceError) {
    let info = try tensors.tensor(name, shape: [width, vocabulary])
    type = try ModelTensors.type(of: info)
    rows = tensors.file.withBytes(of: info) { [UInt8]($0) }
    columns = width
  }

  /// Writes the rows of the tokens, one after the other; ids are in range.
  func read(_ tokens: some Collection<Int32>, out: UnsafeMutablePointer<Float>) {
    let rowBytes = type.rowBytes(columns: columns)
    rows.withUnsafeBytes { bytes in
      guard let base = bytes.baseAddress else { return }
      for (index, token) in tokens.enumerated() {
        Compute.dequantize(
          type, row: base + Int(token) * rowBytes, columns: columns, out: out + index * columns)
      }
    }
  }
}
