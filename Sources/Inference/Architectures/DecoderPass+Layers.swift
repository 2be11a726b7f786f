import ModelFormats
import Tensors

extension DecoderPass {
  /// A matrix and where its results go, [tokens][rows].
  struct Projection {
    let weights: PackedMatrix
    let out: UnsafeMutablePointer<Float>
  }

  /// hidden += attention(norm(hidden)), and the batch's keys and values are in the cache.
  func attention(_ layer: DecoderWeights.Layer, _ store: KeyValueLayer, _ batch: TokenBatch) {
    let tokens = batch.count
    norm(
      layer.attentionNorm, tokens: tokens,
      quantizes: [layer.query, layer.key, layer.value].contains { $0.type.quantizesActivations })
    project(
      [
        Projection(weights: layer.query, out: queries.base),
        Projection(weights: layer.key, out: keys.base),
        Projection(weights: layer.value, out: values.base),
      ], normed, tokens: tokens)
    pool.run(count: tokens, grain: 8) { _, range in
      for token in range { rotateAndStore(token, store, batch) }
    }
    let heads = configuration.keyValueHeads
    pool.run(count: batch.runs.count * heads) { thread, range in
      for item in range {
        attend(batch.runs[item / heads], head: item % heads, thread: thread, store)
      }
    }
    if layer.attentionOutput.type.quantizesActivations {
      pool.run(count: tokens, grain: 8) { _, range in
        for token in range {
          attended.quantize(token: token, columns: queryWidth, path: compute.path)
        }
      }
    }
    addProjection(layer.attentionOutput, attended, tokens: tokens)
  }

  /// hidden += down(silu(gate(norm(hidden))) * up(norm(hidden))).
  func feedForward(_ layer: DecoderWeights.Layer, tokens: Int) {
    norm(
      layer.feedForwardNorm, tokens: tokens,
      quantizes: [layer.gate, layer.up].contains { $0.type.quantizesActivations })
    let length = configuration.feedForwardLength
    pool.run(count: layer.gate.groups, grain: grain(layer.gate.groups)) { _, groups in
      compute.matmul(
        layer.gate, normed, tokens: tokens, groups: groups, out: gate.values.base,
        outStride: length)
      compute.matmul(
        layer.up, normed, tokens: tokens, groups: groups, out: up.base, outStride: length)
      let first = groups.lowerBound * 16
      let count = min(groups.upperBound * 16, length) - first
      for token in 0..<tokens {
        compute.swiglu(
          gate: gate.values.base + token * length + first, up: up.base + token * length + first,
          count: count)
      }
    }
    if layer.down.type.quantizesActivations {
      pool.run(count: tokens, grain: 4) { _, range in
        for token in range { gate.quantize(token: token, columns: length, path: compute.path) }
      }
    }
    addProjection(layer.down, gate, tokens: tokens)
  }

  /// Several matrices on the same activations, as one loop over all their row groups.
  func project(_ projections: [Projection], _ input: ActivationBuffer, tokens: Int) {
    let total = projections.reduce(0) { $0 + $1.weights.groups }
    pool.run(count: total, grain: grain(total)) { _, range in
      var first = 0
      for projection in projections {
        let groups = projection.weights.groups
        let mine = range.clamped(to: first..<first + groups)
        if !mine.isEmpty {
          compute.matmul(
            projection.weights, input, tokens: tokens,
            groups: mine.lowerBound - first..<mine.upperBound - first, out: projection.out,
            outStride: projection.weights.shape.rows)
        }
        first += groups
      }
    }
  }

  /// hidden += matrix * activations.
  private func addProjection(_ matrix: PackedMatrix, _ input: ActivationBuffer, tokens: Int) {
    let width = configuration.width
    pool.run(count: matrix.groups, grain: grain(matrix.groups)) { _, groups in
      compute.matmul(
        matrix, input, tokens: tokens, groups: groups, out: delta.base, outStride: width)
      let first = groups.lowerBound * 16
      let count = min(groups.upperBound * 16, width) - first
      for token in 0..<tokens {
        let place = token * width + first
        compute.add(hidden.base + place, delta.base + place, count: count)
      }
    }
  }

  private func norm(_ weight: [Float], tokens: Int, quantizes: Bool) {
    let width = configuration.width
    pool.run(count: tokens, grain: 8) { _, range in
      for token in range {
        compute.rmsNorm(
          hidden.base + token * width, weight: weight, count: width,
          epsilon: configuration.rmsEpsilon, out: normed.values.base + token * width)
        if quantizes { normed.quantize(token: token, columns: width, path: compute.path) }
      }
    }
  }

  private func rotateAndStore(_ token: Int, _ store: KeyValueLayer, _ batch: TokenBatch) {
    let position = batch.positions[token]
    let dimension = configuration.headDimension
    let key = keys.base + token * keyWidth
    compute.rope(
      queries.base + token * queryWidth, heads: configuration.attentionHeads,
      headDimension: dimension, table: rotary, position: position)
    compute.rope(
      key, heads: configuration.keyValueHeads, headDimension: dimension, table: rotary,
      position: position)
    store.write(
      block: batch.tables[token][position / store.shape.blockTokens],
      offset: position % store.shape.blockTokens, key: key, value: values.base + token * keyWidth)
  }

  private func attend(
    _ run: (first: Int, run: AttentionRun), head: Int, thread: Int, _ store: KeyValueLayer
  ) {
    let group = configuration.queriesPerKeyValueHead
    let place = run.first * queryWidth + head * group * configuration.headDimension
    compute.attention(
      store, run.run, window: window, keyValueHead: head, group: group,
      scale: 1 / Float(configuration.headDimension).squareRoot(), queries: queries.base + place,
      out: attended.values.base + place, stride: queryWidth,
      scratch: scratch.base + thread * scratchStride)
  }

  /// Row groups to hand out at a time: enough pieces to even out, whole panels of the kernels where
  /// there are many.
  private func grain(_ groups: Int) -> Int {
    let pieces = groups / (pool.threads * 8)
    return pieces < 3 ? max(1, pieces) : pieces / 3 * 3
  }
}
