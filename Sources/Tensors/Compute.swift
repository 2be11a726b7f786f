import CKernels

/// The ops of a model, on one kernel path. What each computes is told in `CKernels.h`.
///
/// All pointers are to rows that are long enough; models see to it when they check their tensors.
package struct Compute: Sendable {
  /// The path that runs; never `.auto`.
  package let path: KernelPath
  private let kernel: mk_path

  /// Chooses a path; throws `unsupportedPath` where the machine cannot run it.
  package init(path: KernelPath) throws(TensorError) {
    guard path.isSupported else {
      throw TensorError(
        code: .unsupportedPath,
        message: "This machine cannot run the \(path.rawValue) kernels; use auto.")
    }
    self.path = path.resolved
    kernel = path.kernel
  }

  /// out[token][row] for the tokens and the rows of the groups given; `outStride` floats between
  /// tokens. The first weights of `ahead` are fetched into the thread's caches meanwhile.
  package func matmul(
    _ weights: MatrixView, _ input: Activations, tokens: Range<Int>, groups: Range<Int>,
    ahead: MatrixView.Place? = nil, out: UnsafeMutablePointer<Float>, outStride: Int
  ) {
    var activations = input.kernel(tokens: tokens, columns: weights.kernel.columns)
    withUnsafePointer(to: weights.kernel) { matrix in
      guard let ahead else {
        mk_matmul(
          kernel, matrix, &activations, groups.lowerBound, groups.upperBound, nil,
          out + tokens.lowerBound * outStride, outStride)
        return
      }
      withUnsafePointer(to: ahead.matrix.kernel) { next in
        var place = mk_ahead(weights: next, group: ahead.group)
        mk_matmul(
          kernel, matrix, &activations, groups.lowerBound, groups.upperBound, &place,
          out + tokens.lowerBound * outStride, outStride)
      }
    }
  }

  /// out = x / rms(x) * weight, over `count` elements.
  package func rmsNorm(
    _ x: UnsafePointer<Float>, weight: UnsafePointer<Float>, count: Int, epsilon: Float,
    out: UnsafeMutablePointer<Float>
  ) {
    mk_rms_norm(kernel, x, weight, count, epsilon, out)
  }

  /// gate = silu(gate) * up.
  package func swiglu(
    gate: UnsafeMutablePointer<Float>, up: UnsafePointer<Float>, count: Int
  ) {
    mk_swiglu(kernel, gate, up, count)
  }

  /// x += y for the first `count` of each of some rows, `stride` floats apart.
  package func add(
    _ x: UnsafeMutablePointer<Float>, _ y: UnsafePointer<Float>, rows: Int, stride: Int, count: Int
  ) {
    mk_add(kernel, x, y, rows, stride, count)
  }

  /// out = exp(x), within 2 units in the last place.
  package func exp(
    _ x: UnsafePointer<Float>, count: Int, out: UnsafeMutablePointer<Float>
  ) {
    mk_exp(kernel, x, count, out)
  }

  /// The sum of exp(x - shift).
  package func sumExp(_ x: UnsafePointer<Float>, count: Int, shift: Float) -> Double {
    mk_sum_exp(kernel, x, count, shift)
  }

  /// The place of the largest value, the first among equals; nil if any value is not finite.
  package func argmax(_ x: UnsafePointer<Float>, count: Int) -> Int? {
    let place = mk_argmax(kernel, x, count)
    return place < 0 ? nil : Int(place)
  }

  /// Rotates the first elements of each head by the angles of a position.
  package func rope(
    _ x: UnsafeMutablePointer<Float>, heads: Int, headDimension: Int, table: RotaryTable.View,
    position: Int
  ) {
    mk_rope(
      kernel, table.cosines(at: position), table.sines(at: position), table.pairs, x, heads,
      headDimension)
  }

  /// Attention of the query heads of one key-value head, for a run of tokens of one sequence.
  ///
  /// `queries` and `out` are [token][head of the group][dimension], tokens `stride` floats apart.
  package func attention(
    _ layer: KeyValueLayer, _ run: AttentionRun, window: AttentionWindow? = nil,
    keyValueHead: Int, group: Int, scale: Float, queries: UnsafePointer<Float>,
    out: UnsafeMutablePointer<Float>, stride: Int,
    scratch: UnsafeMutablePointer<Float>
  ) {
    var view = layer.kernel
    var kernelRun = mk_attention_run(
      block_table: run.blocks, tokens: run.tokens, length: run.length,
      window: window?.tokens ?? 0, sinks: window?.sinks ?? 0, kv_head: keyValueHead, group: group,
      scale: scale, stride: stride)
    mk_attention(kernel, &view, &kernelRun, queries, out, scratch)
  }

  /// Floats of scratch that `attention` wants on each thread.
  package static func attentionScratch(group: Int, headDimension: Int) -> Int {
    mk_attention_scratch(group, KeyValueLayer.paddedDimension(headDimension))
  }

  /// The natural logarithm of a positive normal number, the same on every machine.
  package static func log(_ x: Double) -> Double { mk_log_double(x) }

  /// The exponential, the same on every machine.
  package static func exp(_ x: Double) -> Double { mk_exp_double(x) }

  /// Unpacks one row of a tensor of a model file.
  package static func dequantize(
    _ type: DType, row: UnsafeRawPointer, columns: Int, out: UnsafeMutablePointer<Float>
  ) {
    mk_dequantize_row(type.kernel, row, columns, out)
  }
}
