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
    attentionNorm(layer, tokens: tokens)
    project(
      [
        Projection(weights: layer.query, out: queries.base),
        Projection(weights: layer.key, out: keys.base),
        Projection(weights: layer.value, out: values.base),
      ], normed, tokens: tokens)
    pool.run(count: tokens, grain: 8) { _, range in
      for token in range {
        rotateQuery(token, batch)
        rotateAndStore(token, store, batch)
      }
    }
    attend(layer, store, batch)
  }

  /// The same for some of a batch's rows, which come to be the first ones of `hidden`, and whose
  /// tokens are `selected`; keys and values are those of all.
  func attention(
    _ layer: DecoderWeights.Layer, _ store: KeyValueLayer, _ batch: TokenBatch,
    of rows: some Collection<Int>, _ selected: TokenBatch
  ) {
    attentionNorm(layer, tokens: batch.count)
    project(
      [
        Projection(weights: layer.key, out: keys.base),
        Projection(weights: layer.value, out: values.base),
      ], normed, tokens: batch.count)
    pool.run(count: batch.count, grain: 8) { _, range in
      for token in range { rotateAndStore(token, store, batch) }
    }
    let width = configuration.width
    for (place, row) in rows.enumerated() where place < row {
      (hidden.base + place * width).update(from: hidden.base + row * width, count: width)
    }
    // A step of nothing but beginnings of prompts has none.
    guard !rows.isEmpty else { return }
    attentionNorm(layer, tokens: rows.count)
    project(
      [Projection(weights: layer.query, out: queries.base)], normed, tokens: rows.count)
    pool.run(count: rows.count, grain: 8) { _, range in
      for token in range { rotateQuery(token, selected) }
    }
    attend(layer, store, selected)
  }

  /// hidden += the output projection of attention by the queries of a batch's tokens.
  private func attend(
    _ layer: DecoderWeights.Layer, _ store: KeyValueLayer, _ batch: TokenBatch
  ) {
    let tokens = batch.count
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
    guard tokens > 0 else { return }
    norm(
      layer.feedForwardNorm, tokens: tokens,
      quantizes: [layer.gate, layer.up].contains { $0.type.quantizesActivations })
    let length = configuration.feedForwardLength
    let chunk = chunk(layer, tokens: tokens)
    runGroups(layer.gate.groups) { _, groups in
      let first = groups.lowerBound * 16
      let count = min(groups.upperBound * 16, length) - first
      for begin in stride(from: 0, to: tokens, by: chunk) {
        let some = begin..<min(begin + chunk, tokens)
        compute.matmul(
          layer.gate, normed, tokens: some, groups: groups, out: gate.values.base,
          outStride: length)
        compute.matmul(
          layer.up, normed, tokens: some, groups: groups, out: up.base, outStride: length)
        for token in some {
          compute.swiglu(
            gate: gate.values.base + token * length + first,
            up: up.base + token * length + first, count: count)
        }
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
    runGroups(total) { _, range in
      var first = 0
      for projection in projections {
        let groups = projection.weights.groups
        let mine = range.clamped(to: first..<first + groups)
        if !mine.isEmpty {
          compute.matmul(
            projection.weights, input, tokens: 0..<tokens,
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
    runGroups(matrix.groups) { _, groups in
      compute.matmul(
        matrix, input, tokens: 0..<tokens, groups: groups, out: delta.base, outStride: width)
      let first = groups.lowerBound * 16
      let count = min(groups.upperBound * 16, width) - first
      compute.add(
        hidden.base + first, delta.base + first, rows: tokens, stride: width, count: count)
    }
  }

  private func attentionNorm(_ layer: DecoderWeights.Layer, tokens: Int) {
    norm(
      layer.attentionNorm, tokens: tokens,
      quantizes: [layer.query, layer.key, layer.value].contains { $0.type.quantizesActivations })
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

  private func rotateQuery(_ token: Int, _ batch: TokenBatch) {
    compute.rope(
      queries.base + token * queryWidth, heads: configuration.attentionHeads,
      headDimension: configuration.headDimension, table: rotary, position: batch.positions[token])
  }

  private func rotateAndStore(_ token: Int, _ store: KeyValueLayer, _ batch: TokenBatch) {
    let position = batch.positions[token]
    let key = keys.base + token * keyWidth
    compute.rope(
      key, heads: configuration.keyValueHeads, headDimension: configuration.headDimension,
      table: rotary, position: position)
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

  /// How many tokens are taken at a time through gate and up, so that SwiGLU finds more of their
  /// products in the second cache level: about 128, in equal parts. Float weights are better
  /// unpacked for all at once.
  private func chunk(_ layer: DecoderWeights.Layer, tokens: Int) -> Int {
    guard layer.gate.type.quantizesActivations else { return tokens }
    let parts = max(1, (tokens + 64) / 128)
    return ((tokens + parts - 1) / parts + 3) / 4 * 4
  }

  /// Hands out row groups, where there are many in whole panels of the kernels: several at a time,
  /// and single ones at the end, so that no thread waits long for another.
  private func runGroups(
    _ groups: Int, _ body: (_ thread: Int, _ groups: Range<Int>) -> Void
  ) {
    let share = groups / (pool.threads * 8)
    if share < 3 {
      pool.run(count: groups, grain: max(1, share), body)
    } else {
      pool.run(count: groups, grain: share / 3 * 3, fine: 3, body)
    }
  }
}
