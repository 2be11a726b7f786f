import CKernels

/// A weight matrix in the layout of the kernels: 16 rows side by side, one vector lane each.
///
/// Immutable once made, so it may be shared by engines on several threads. The layout is the same
/// on every kernel path.
package final class PackedMatrix: @unchecked Sendable {
  /// Where everything is.
  package let layout: PackedLayout
  /// As work on several threads takes it; valid for as long as the matrix is there.
  package let view: MatrixView
  private let owner: AnyObject

  /// Rows and columns as in the model file.
  package var shape: MatrixShape { layout.shape }
  /// How elements are stored.
  package var type: DType { layout.type }
  /// Rows of 16 that are computed together.
  package var groups: Int { layout.groups }

  /// Views packed memory, which stays as it is for as long as its owner lives.
  package init(_ layout: PackedLayout, memory: UnsafeRawPointer, owner: AnyObject) {
    self.layout = layout
    view = MatrixView(
      kernel: mk_matrix(
        type: layout.type.kernel, rows: layout.shape.rows, columns: layout.shape.columns,
        values: memory, scales: memory + layout.scaleOffset))
    self.owner = owner
  }

  /// Packs the row-major bytes of a tensor of a model file into memory of its own.
  ///
  /// Throws `invalidShape` where the bytes are not exactly those of the shape, else `outOfMemory`.
  package convenience init(
    type: DType, shape: MatrixShape, bytes: UnsafeRawBufferPointer, pool: ThreadPool
  ) throws(TensorError) {
    let layout = try PackedLayout(type: type, shape: shape)
    let buffer = try AlignedBuffer<UInt8>(count: layout.byteCount)
    try layout.pack(bytes, into: buffer.base, pool: pool)
    self.init(layout, memory: buffer.base, owner: buffer)
  }
}

/// A packed matrix without its owner.
package struct MatrixView: BitwiseCopyable, @unchecked Sendable {
  /// As the kernels take it.
  let kernel: mk_matrix

  /// One of a matrix's row groups.
  package struct Place: BitwiseCopyable, Sendable {
    package let matrix: MatrixView
    package let group: Int

    package init(matrix: MatrixView, group: Int) {
      self.matrix = matrix
      self.group = group
    }
  }

  package var rows: Int { kernel.rows }
  package var groups: Int { (kernel.rows + Int(MK_ROW_GROUP) - 1) / Int(MK_ROW_GROUP) }
}
