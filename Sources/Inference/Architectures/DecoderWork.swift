import ModelFormats
import Tensors

/// The memory of a step and the sizes of a model, as loops on several threads take them.
///
/// Pointers and numbers only: references counted by all threads would hold them up at each piece.
struct DecoderWork {
  let compute: Compute
  let width: Int
  let queryWidth: Int
  let keyWidth: Int
  let feedForwardLength: Int
  let attentionHeads: Int
  let keyValueHeads: Int
  let headDimension: Int
  let rmsEpsilon: Float
  let rotary: RotaryTable.View
  /// What tokens see, if not all before them.
  let window: AttentionWindow?
  /// Tokens that every buffer has room for.
  let maxTokens: Int

  let hidden: UnsafeMutablePointer<Float>
  let delta: UnsafeMutablePointer<Float>
  /// One behind the other, as `products` writes what a stack of matrices gives.
  let queries: UnsafeMutablePointer<Float>
  let keys: UnsafeMutablePointer<Float>
  let values: UnsafeMutablePointer<Float>
  let up: UnsafeMutablePointer<Float>
  let normed: Activations
  let attended: Activations
  let gate: Activations
  let scratch: UnsafeMutablePointer<Float>
  let scratchStride: Int

  /// Rotates a token's queries.
  func rotateQuery(_ token: Int, position: Int) {
    compute.rope(
      queries + token * queryWidth, heads: attentionHeads, headDimension: headDimension,
      table: rotary, position: position)
  }

  /// Rotates a token's keys, and writes them and its values into the cache.
  func rotateAndStore(
    _ token: Int, position: Int, table: UnsafePointer<Int32>, _ store: KeyValueLayer
  ) {
    let key = keys + token * keyWidth
    compute.rope(
      key, heads: keyValueHeads, headDimension: headDimension, table: rotary, position: position)
    store.write(
      block: table[position / store.shape.blockTokens],
      offset: position % store.shape.blockTokens, key: key, value: values + token * keyWidth)
  }

  /// Quantizes rows of activations of `columns` columns.
  func quantize(_ rows: Activations, columns: Int, tokens: Range<Int>) {
    for token in tokens { rows.quantize(token: token, columns: columns, path: compute.path) }
  }

  /// The products of a stack's row groups with some tokens. Each matrix has its results, [tokens][rows],
  /// behind those of the ones before it, for which there is room for `capacity` tokens.
  func products(
    _ stack: MatrixStack.View, _ input: Activations, _ piece: ProductShares.Piece,
    ahead: MatrixView.Place?, out: UnsafeMutablePointer<Float>, capacity: Int
  ) {
    var reached = piece.groups.lowerBound
    stack.forEach(in: piece.groups) { matrix, groups, rowsBefore in
      reached += groups.count
      let isLast = reached == piece.groups.upperBound
      compute.matmul(
        matrix, input, tokens: piece.tokens, groups: groups,
        ahead: isLast ? ahead : stack.place(of: reached), out: out + capacity * rowsBefore,
        outStride: matrix.rows)
    }
  }
}
