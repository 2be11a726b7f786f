import Tensors

// The loops over the products of a step. Structs as in DecoderLoops.swift.

/// out = matrices * activations; see `DecoderWork.products`.
struct ProjectionLoop: ProductLoop {
  let work: DecoderWork
  let stack: MatrixStack.View
  let input: Activations
  let out: UnsafeMutablePointer<Float>
  let capacity: Int

  func run(thread: Int, piece: ProductShares.Piece, ahead: MatrixView.Place?) {
    work.products(stack, input, piece, ahead: ahead, out: out, capacity: capacity)
  }
}

/// hidden += matrix * activations.
struct ResidualLoop: ProductLoop {
  let work: DecoderWork
  let matrix: MatrixStack.View
  let input: Activations

  func run(thread: Int, piece: ProductShares.Piece, ahead: MatrixView.Place?) {
    work.products(matrix, input, piece, ahead: ahead, out: work.delta, capacity: work.maxTokens)
    let first = piece.groups.lowerBound * 16
    let place = piece.tokens.lowerBound * work.width + first
    work.compute.add(
      work.hidden + place, work.delta + place, rows: piece.tokens.count, stride: work.width,
      count: min(piece.groups.upperBound * 16, work.width) - first)
  }
}

/// gate = silu(gate matrix * normed) * (up matrix * normed).
struct GateLoop: ProductLoop {
  let work: DecoderWork
  let gate: MatrixStack.View
  let up: MatrixStack.View
  /// Whether tokens are taken some at a time, so that SwiGLU finds more of their products in the second
  /// cache level. Float weights are better unpacked for all at once.
  let cuts: Bool

  func run(thread: Int, piece: ProductShares.Piece, ahead: MatrixView.Place?) {
    let all = piece.tokens
    let chunk = cuts ? Self.chunk(tokens: all.count) : all.count
    for begin in stride(from: all.lowerBound, to: all.upperBound, by: chunk) {
      var part = piece
      part.tokens = begin..<min(begin + chunk, all.upperBound)
      let isLast = part.tokens.upperBound == all.upperBound
      multiply(part, ahead: isLast ? ahead : gate.place(of: piece))
    }
  }

  private func multiply(_ piece: ProductShares.Piece, ahead: MatrixView.Place?) {
    let capacity = work.maxTokens, length = work.feedForwardLength
    work.products(
      gate, work.normed, piece, ahead: up.place(of: piece), out: work.gate.values,
      capacity: capacity)
    work.products(up, work.normed, piece, ahead: ahead, out: work.up, capacity: capacity)
    let first = piece.groups.lowerBound * 16
    let count = min(piece.groups.upperBound * 16, length) - first
    for token in piece.tokens {
      let place = token * length + first
      work.compute.swiglu(gate: work.gate.values + place, up: work.up + place, count: count)
    }
  }

  /// How many tokens are taken at a time: about 128, in equal parts.
  private static func chunk(tokens: Int) -> Int {
    let parts = max(1, (tokens + 64) / 128)
    return ((tokens + parts - 1) / parts + 3) / 4 * 4
  }
}

extension MatrixStack.View {
  /// Where a piece begins.
  fileprivate func place(of piece: ProductShares.Piece) -> MatrixView.Place? {
    place(of: piece.groups.lowerBound)
  }
}
