import CKernels

/// A weight matrix in the layout of the kernels: 16 rows side by side, one vector lane each.
///
/// Immutable once made, so it may be shared by engines on several threads. The layout is the same
/// on every kernel path.
package final class PackedMatrix: @unchecked Sendable {
  /// Rows and columns as in the model file.
  package let shape: MatrixShape
  /// How elements are stored.
  package let type: DType
  /// Bytes held.
  package let byteCount: Int

  private let values: AlignedBuffer<UInt8>
  private let scales: AlignedBuffer<UInt8>

  /// Rows of 16 that are computed together.
  package var groups: Int { (shape.rows + Int(MK_ROW_GROUP) - 1) / Int(MK_ROW_GROUP) }

  /// Packs the row-major bytes of a tensor of a model file.
  ///
  /// Throws `invalidShape` where the bytes are not exactly those of the shape, else `outOfMemory`.
  package init(
    type: DType, shape: MatrixShape, bytes: UnsafeRawBufferPointer, pool: ThreadPool
  ) throws(TensorError) {
    guard shape.rows > 0, shape.columns > 0, shape.columns % type.blockElements == 0,
      shape.rows < 1 << 31, shape.columns < 1 << 31,
      bytes.count == shape.rows * type.rowBytes(columns: shape.columns),
      let source = bytes.baseAddress
    else {
      throw TensorError(
        code: .invalidShape,
        message: "\(bytes.count) bytes are not a \(type.rawValue) matrix of \(shape).")
    }
    self.type = type
    self.shape = shape
    let valueBytes = mk_packed_value_bytes(type.kernel, shape.rows, shape.columns)
    let scaleBytes = mk_packed_scale_bytes(type.kernel, shape.rows, shape.columns)
    let values = try AlignedBuffer<UInt8>(count: valueBytes)
    let scales = try AlignedBuffer<UInt8>(count: scaleBytes)
    self.values = values
    self.scales = scales
    byteCount = valueBytes + scaleBytes
    pool.run(count: groups, grain: 8) { _, range in
      mk_pack(
        type.kernel, shape.rows, shape.columns, source, range.lowerBound, range.upperBound,
        values.base, scales.base)
    }
  }

  var kernel: mk_matrix {
    mk_matrix(
      type: type.kernel, rows: shape.rows, columns: shape.columns, values: values.base,
      scales: scales.base)
  }
}
