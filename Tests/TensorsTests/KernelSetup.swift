import Tensors
import TestModels

/// The fast paths that this machine has; each is compared with the scalar one.
let fastPaths: [KernelPath] = [.avx2, .avx512].filter(\.isSupported)

/// Bits of floats, for comparison without tolerance; every NaN counts as the same.
func bits(_ values: [Float]) -> [UInt32] {
  values.map { $0.isNaN ? 0x7FC0_0000 : $0.bitPattern }
}

/// Row-major bytes of a random matrix as a model file holds them.
func randomMatrixBytes(
  _ type: DType, _ shape: MatrixShape, _ numbers: inout SeededNumbers
) -> [UInt8] {
  var bytes: [UInt8] = []
  for _ in 0..<shape.rows {
    switch type {
    case .f32:
      numbers.floats(shape.columns).forEach { value in
        withUnsafeBytes(of: value) { bytes += $0 }
      }
    case .f16:
      numbers.floats(shape.columns).forEach { value in
        withUnsafeBytes(of: Float16(value)) { bytes += $0 }
      }
    case .bf16:
      numbers.floats(shape.columns).forEach { value in
        withUnsafeBytes(of: UInt16(value.bitPattern >> 16)) { bytes += $0 }
      }
    case .q8:
      for _ in 0..<shape.columns / 32 {
        let scale = Float16(Float.random(in: 0...0.01, using: &numbers))
        withUnsafeBytes(of: scale) { bytes += $0 }
        bytes += numbers.bytes(32)  // -128 included
      }
    }
  }
  return bytes
}

/// The matrix as floats, [rows][columns].
func unpack(_ type: DType, _ shape: MatrixShape, _ bytes: [UInt8]) -> [[Float]] {
  let rowBytes = type.rowBytes(columns: shape.columns)
  return (0..<shape.rows).map { row in
    var floats = [Float](repeating: 0, count: shape.columns)
    bytes.withUnsafeBytes { raw in
      guard let base = raw.baseAddress else { return }
      Compute.dequantize(
        type, row: base + row * rowBytes, columns: shape.columns, out: &floats)
    }
    return floats
  }
}

func pack(
  _ type: DType, _ shape: MatrixShape, _ bytes: [UInt8], threads: Int = 1
) throws -> PackedMatrix {
  let pool = try ThreadPool(threads: threads)
  return try bytes.withUnsafeBytes {
    try PackedMatrix(type: type, shape: shape, bytes: $0, pool: pool)
  }
}

/// A buffer holding these rows, quantized where the weights ask for it.
func activations(
  _ rows: [[Float]], type: DType, path: KernelPath
) throws -> ActivationBuffer {
  let columns = rows.first?.count ?? 0
  let buffer = try ActivationBuffer(tokens: rows.count, columns: columns)
  for (token, row) in rows.enumerated() {
    (buffer.values.base + token * columns).update(from: row, count: columns)
    if type.quantizesActivations { buffer.quantize(token: token, columns: columns, path: path) }
  }
  return buffer
}
