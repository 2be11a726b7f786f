import CKernels

/// Rows of activations, one a token, with their quantized form beside them.
package final class ActivationBuffer {
  /// Tokens that fit.
  package let tokens: Int
  /// Columns that fit.
  package let columns: Int
  /// The rows, `columns` of the current use apart.
  package let values: AlignedBuffer<Float>
  private let blocks: AlignedBuffer<mk_block>

  /// Allocates for up to `tokens` rows of up to `columns`.
  package init(tokens: Int, columns: Int) throws(TensorError) {
    self.tokens = tokens
    self.columns = columns
    let (count, overflow) = tokens.multipliedReportingOverflow(by: columns)
    guard !overflow else {
      throw TensorError(
        code: .invalidShape, message: "\(tokens) rows of \(columns) activations are too many.")
    }
    values = try AlignedBuffer(count: count, zeroed: false)
    blocks = try AlignedBuffer(count: tokens * mk_block_stride(columns), zeroed: false)
  }

  /// As work on several threads takes it; valid for as long as the buffer is there.
  package var view: Activations { Activations(values: values.base, blocks: blocks.base) }
}

/// Activations without their owner.
package struct Activations: BitwiseCopyable {
  /// The rows, `columns` of the current use apart.
  package let values: UnsafeMutablePointer<Float>
  fileprivate let blocks: UnsafeMutablePointer<mk_block>

  /// Quantizes row `token`, where rows have `columns` columns, a multiple of 32.
  package func quantize(token: Int, columns: Int, path: KernelPath) {
    mk_quantize_row(
      path.kernel, values + token * columns, columns,
      blocks + token * mk_block_stride(columns))
  }

  func kernel(tokens: Range<Int>, columns: Int) -> mk_activations {
    mk_activations(
      tokens: tokens.count, values: values + tokens.lowerBound * columns,
      blocks: blocks + tokens.lowerBound * mk_block_stride(columns))
  }
}
