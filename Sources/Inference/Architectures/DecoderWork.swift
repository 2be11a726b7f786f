import ModelFormats
import Tensors

/// What the pieces of a step compute, each on one thread.
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

  /// Query heads that share a key-value head.
  private var group: Int { attentionHeads / keyValueHeads }

  /// normed = norm(hidden) * weight.
  func norm(_ weight: UnsafePointer<Float>, tokens: Range<Int>, quantizes: Bool) {
    for token in tokens {
      compute.rmsNorm(
        hidden + token * width, weight: weight, count: width, epsilon: rmsEpsilon,
        out: normed.values + token * width)
      if quantizes { normed.quantize(token: token, columns: width, path: compute.path) }
    }
  }

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

  /// Attention of a key-value head's queries for a run of tokens, whose first is at `first` of the batch.
  func attend(_ run: AttentionRun, first: Int, head: Int, thread: Int, _ store: KeyValueLayer) {
    let place = first * queryWidth + head * group * headDimension
    compute.attention(
      store, run, window: window, keyValueHead: head, group: group,
      scale: 1 / Float(headDimension).squareRoot(), queries: queries + place,
      out: attended.values + place, stride: queryWidth, scratch: scratch + thread * scratchStride)
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

  /// hidden += matrix * activations.
  func addProducts(
    _ matrix: MatrixStack.View, _ input: Activations, _ piece: ProductShares.Piece,
    ahead: MatrixView.Place?
  ) {
    products(matrix, input, piece, ahead: ahead, out: delta, capacity: maxTokens)
    let first = piece.groups.lowerBound * 16
    let place = piece.tokens.lowerBound * width + first
    compute.add(
      hidden + place, delta + place, rows: piece.tokens.count, stride: width,
      count: min(piece.groups.upperBound * 16, width) - first)
  }

  /// gate = silu(gate matrix * normed) * (up matrix * normed), `chunk` tokens at a time.
  func gateProducts(
    _ gateMatrix: MatrixStack.View, _ upMatrix: MatrixStack.View, _ piece: ProductShares.Piece,
    chunk: Int, ahead: MatrixView.Place?
  ) {
    let first = piece.groups.lowerBound * 16
    let count = min(piece.groups.upperBound * 16, feedForwardLength) - first
    for begin in stride(from: piece.tokens.lowerBound, to: piece.tokens.upperBound, by: chunk) {
      var part = piece
      part.tokens = begin..<min(begin + chunk, piece.tokens.upperBound)
      let isLast = part.tokens.upperBound == piece.tokens.upperBound
      products(
        gateMatrix, normed, part, ahead: upMatrix.place(of: piece.groups.lowerBound),
        out: gate.values, capacity: maxTokens)
      products(
        upMatrix, normed, part,
        ahead: isLast ? ahead : gateMatrix.place(of: piece.groups.lowerBound), out: up,
        capacity: maxTokens)
      for token in part.tokens {
        let place = token * feedForwardLength + first
        compute.swiglu(gate: gate.values + place, up: up + place, count: count)
      }
    }
  }
}
