import ModelFormats
import Tensors

/// The token embedding, read row by row from the mapped file.
struct EmbeddingTable: Sendable {
  private let file: GGUFFile
  private let info: GGUFTensorInfo
  private let type: DType
  private let columns: Int

  /// Finds and checks the table.
  init(
    _ name: String, tensors: ModelTensors, vocabulary: Int, width: Int
  ) throws(InferenceError) {
    info = try tensors.tensor(name, shape: [width, vocabulary])
    type = try ModelTensors.type(of: info)
    file = tensors.file
    columns = width
  }

  /// Writes the rows of the tokens, one after the other; ids are in range.
  func read(_ tokens: some Collection<Int32>, out: UnsafeMutablePointer<Float>) {
    let rowBytes = type.rowBytes(columns: columns)
    file.withBytes(of: info) { bytes in
      guard let base = bytes.baseAddress else { return }
      for (index, token) in tokens.enumerated() {
        Compute.dequantize(
          type, row: base + Int(token) * rowBytes, columns: columns, out: out + index * columns)
      }
    }
  }
}
