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
    case .q8, .q5, .q4, .q4K, .q6K:
      for _ in 0..<shape.columns / type.blockElements {
        bytes += randomBlock(type, &numbers)
      }
    }
  }
  return bytes
}

/// A block of a quantized type: small scales, and any bits elsewhere.
private func randomBlock(_ type: DType, _ numbers: inout SeededNumbers) -> [UInt8] {
  let halves = (0..<2).flatMap { _ in
    withUnsafeBytes(of: Float16(Float.random(in: 0...0.01, using: &numbers))) { [UInt8]($0) }
  }
  switch type {
  case .q4K: return halves + numbers.bytes(type.blockBytes - 4)
  case .q6K: return numbers.bytes(type.blockBytes - 2) + halves.prefix(2)
  default: return halves.prefix(2) + numbers.bytes(type.blockBytes - 2)
  }
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
    if type.quantizesActivations {
      buffer.view.quantize(token: token, columns: columns, path: path)
    }
  }
  return buffer
}

extension SeededNumbers {
  /// Activations whose blocks of 32 have very different magnitudes; some are zeros.
  mutating func activations(_ count: Int) -> [Float] {
    var row: [Float] = []
    while row.count < count {
      let block = floats(min(32, count - row.count), in: -4...4)
      // Half of the blocks are within a factor of 16 of the largest.
      let power =
        Bool.random(using: &self)
        ? Int.random(in: 0...4, using: &self) : Int.random(in: 5...26, using: &self)
      let magnitude = power == 26 ? 0 : Float(sign: .plus, exponent: -power, significand: 1)
      row += block.map { $0 * magnitude }
    }
    return row
  }
}
