import CKernels

/// How a packed matrix lies in memory: its values, then its scales, each from a cache line on.
///
/// Raise ``version`` with every change of a byte of it: packed weights are kept in files.
package struct PackedLayout: Sendable, Hashable {
  /// The version of all layouts together.
  package static let version = 2
  /// What the memory is aligned to.
  package static let alignment = 64

  /// How elements are stored.
  package let type: DType
  /// Rows and columns.
  package let shape: MatrixShape
  /// Bytes in all.
  package let byteCount: Int
  let scaleOffset: Int

  /// Throws `invalidShape` for a shape that no packed matrix has.
  package init(type: DType, shape: MatrixShape) throws(TensorError) {
    guard (1..<1 << 31).contains(shape.rows), (1..<1 << 31).contains(shape.columns),
      shape.columns % type.blockElements == 0
    else {
      throw TensorError(
        code: .invalidShape, message: "A \(type.rawValue) matrix cannot be \(shape).")
    }
    self.type = type
    self.shape = shape
    scaleOffset = Self.aligned(mk_packed_value_bytes(type.kernel, shape.rows, shape.columns))
    byteCount =
      scaleOffset + Self.aligned(mk_packed_scale_bytes(type.kernel, shape.rows, shape.columns))
  }

  /// The next multiple of ``alignment``.
  package static func aligned(_ bytes: Int) -> Int {
    (bytes + alignment - 1) / alignment * alignment
  }

  /// Row groups, 16 rows each.
  package var groups: Int { (shape.rows + Int(MK_ROW_GROUP) - 1) / Int(MK_ROW_GROUP) }

  /// Packs the row-major bytes of a tensor of a model file into memory of `byteCount` bytes.
  ///
  /// Throws `invalidShape` where the bytes are not exactly those of the shape.
  package func pack(
    _ bytes: UnsafeRawBufferPointer, into memory: UnsafeMutableRawPointer, pool: ThreadPool
  ) throws(TensorError) {
    guard bytes.count == shape.rows * type.rowBytes(columns: shape.columns),
      let source = bytes.baseAddress
    else {
      throw TensorError(
        code: .invalidShape,
        message: "\(bytes.count) bytes are not a \(type.rawValue) matrix of \(shape).")
    }
    pool.run(count: groups, grain: 8) { _, range in
      mk_pack(
        type.kernel, shape.rows, shape.columns, source, range.lowerBound, range.upperBound, memory,
        memory + scaleOffset)
    }
  }
}
