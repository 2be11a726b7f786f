import ModelFormats
import Tensors

/// The token embedding, as the file stores it.
///
/// A copy, like all weights: what a model computes must not change when somebody writes over its
/// file.
struct EmbeddingTable: @unchecked Sendable {
  /// The tensor's name in a model file.
  static let tensorName = "token_embd.weight"

  private let rows: WeightRegion
  private let type: DType
  private let columns: Int
  /// Bytes held.
  let byteCount: Int

  /// Finds, checks and copies the table.
  init(
    tensors: ModelTensors, vocabulary: Int, width: Int
  ) throws(InferenceError) {
    let info = try tensors.tensor(Self.tensorName, shape: [width, vocabulary])
    type = try ModelTensors.type(of: info)
    columns = width
    byteCount = info.byteCount
    rows = try tensors.memory.region("\(Self.tensorName), rows", byteCount: info.byteCount)
    guard !rows.isFilled else { return }
    let copy = rows.base
    tensors.file.withBytes(of: info) { bytes in
      UnsafeMutableRawBufferPointer(start: copy, count: bytes.count).copyMemory(from: bytes)
    }
  }

  /// The table without its owner, as work on several threads takes it; valid for as long as the table is
  /// there.
  var view: View { View(rows: rows.base, type: type, columns: columns) }

  struct View {
    fileprivate let rows: UnsafeMutableRawPointer
    fileprivate let type: DType
    fileprivate let columns: Int

    /// Writes the rows of the tokens, one after the other; ids are in range.
    func read(_ tokens: some Collection<Int32>, out: UnsafeMutablePointer<Float>) {
      let rowBytes = type.rowBytes(columns: columns)
      for (index, token) in tokens.enumerated() {
        Compute.dequantize(
          type, row: rows + Int(token) * rowBytes, columns: columns, out: out + index * columns)
      }
    }
  }
}
