import ModelFormats
import Tensors

/// Products of weights and activations, shared out among threads.
extension DecoderPass {
  /// Several matrices on the same activations; each has its results, [tokens][rows], at its own of
  /// `outs`. `next` is what is multiplied after it.
  func project(
    _ stack: MatrixStack, _ input: ActivationBuffer, tokens: Int,
    outs: [UnsafeMutablePointer<Float>], next: MatrixStack?
  ) {
    let shares = ProductShares(pool: pool, groups: stack.groups, tokens: tokens)
    shares.run { thread, groups, tokens, isLast in
      multiply(
        stack, input, tokens: tokens, groups: groups,
        ahead: isLast ? first(of: thread, next) : stack.place(of: groups.upperBound), outs: outs)
    }
  }

  /// hidden += matrix * activations.
  func addProjection(
    _ matrix: MatrixStack, _ input: ActivationBuffer, tokens: Int, next: MatrixStack?
  ) {
    let width = configuration.width
    let outs = [delta.base]
    let shares = ProductShares(pool: pool, groups: matrix.groups, tokens: tokens)
    shares.run { thread, groups, tokens, isLast in
      multiply(
        matrix, input, tokens: tokens, groups: groups,
        ahead: isLast ? first(of: thread, next) : matrix.place(of: groups.upperBound), outs: outs)
      let first = groups.lowerBound * 16
      let place = tokens.lowerBound * width + first
      compute.add(
        hidden.base + place, delta.base + place, rows: tokens.count, stride: width,
        count: min(groups.upperBound * 16, width) - first)
    }
  }

  /// gate = silu(gate matrix * normed) * (up matrix * normed).
  func gateProjection(_ layer: DecoderWeights.Layer, tokens: Int) {
    let length = configuration.feedForwardLength
    let gates = [gate.values.base]
    let ups = [up.base]
    let shares = ProductShares(pool: pool, groups: layer.gate.groups, tokens: tokens)
    shares.run { thread, groups, tokens, isLast in
      let rest = isLast ? first(of: thread, layer.down) : layer.gate.place(of: groups.upperBound)
      let first = groups.lowerBound * 16
      let count = min(groups.upperBound * 16, length) - first
      let chunk = chunk(layer, tokens: tokens.count)
      for begin in stride(from: tokens.lowerBound, to: tokens.upperBound, by: chunk) {
        let some = begin..<min(begin + chunk, tokens.upperBound)
        multiply(
          layer.gate, normed, tokens: some, groups: groups,
          ahead: layer.up.place(of: groups.lowerBound), outs: gates)
        multiply(
          layer.up, normed, tokens: some, groups: groups,
          ahead: some.upperBound == tokens.upperBound
            ? rest : layer.gate.place(of: groups.lowerBound), outs: ups)
        for token in some {
          let place = token * length + first
          compute.swiglu(gate: gate.values.base + place, up: up.base + place, count: count)
        }
      }
    }
  }

  private func multiply(
    _ stack: MatrixStack, _ input: ActivationBuffer, tokens: Range<Int>, groups: Range<Int>,
    ahead: MatrixStack.Place?, outs: [UnsafeMutablePointer<Float>]
  ) {
    stack.forEach(in: groups) { index, matrix, groups in
      compute.matmul(
        matrix, input, tokens: tokens, groups: groups, ahead: ahead, out: outs[index],
        outStride: matrix.shape.rows)
    }
  }

  /// Where a thread begins with what comes next. Whether its tokens are many does not matter: it is
  /// the first of them or nearly.
  private func first(of thread: Int, _ next: MatrixStack?) -> MatrixStack.Place? {
    guard let next else { return nil }
    let shares = ProductShares(pool: pool, groups: next.groups, tokens: 1)
    return next.place(of: shares.firstGroup(of: thread))
  }

  /// How many tokens are taken at a time through gate and up, so that SwiGLU finds more of their
  /// products in the second cache level: about 128, in equal parts. Float weights are better
  /// unpacked for all at once.
  private func chunk(_ layer: DecoderWeights.Layer, tokens: Int) -> Int {
    guard layer.gate.quantizesActivations else { return tokens }
    let parts = max(1, (tokens + 64) / 128)
    return ((tokens + parts - 1) / parts + 3) / 4 * 4
  }
}
