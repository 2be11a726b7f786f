import ModelFormats
import Tensors

extension DecoderPass {
  /// hidden += attention(norm(hidden)), and the batch's keys and values are in the cache.
  func attention(_ layer: DecoderWeights.Layer, _ store: KeyValueLayer, _ batch: TokenBatch) {
    let tokens = batch.count
    attentionNorm(layer, tokens: tokens)
    project(
      layer.attentionInput, normed, tokens: tokens, outs: [queries.base, keys.base, values.base],
      next: layer.attentionOutput)
    pool.run(count: tokens, grain: ProductShares.tokenGrain) { _, range in
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
      layer.keyAndValue, normed, tokens: batch.count, outs: [keys.base, values.base], next: nil)
    pool.run(count: batch.count, grain: ProductShares.tokenGrain) { _, range in
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
      layer.query, normed, tokens: rows.count, outs: [queries.base], next: layer.attentionOutput)
    pool.run(count: rows.count, grain: ProductShares.tokenGrain) { _, range in
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
    if layer.attentionOutput.quantizesActivations {
      pool.run(count: tokens, grain: ProductShares.tokenGrain) { _, range in
        for token in range {
          attended.quantize(token: token, columns: queryWidth, path: compute.path)
        }
      }
    }
    addProjection(
      layer.attentionOutput, attended, tokens: tokens,
      next: layer.gate)
  }

  /// hidden += down(silu(gate(norm(hidden))) * up(norm(hidden))). `next` is what is multiplied then.
  func feedForward(_ layer: DecoderWeights.Layer, tokens: Int, next: MatrixStack) {
    guard tokens > 0 else { return }
    norm(
      layer.feedForwardNorm, tokens: tokens,
      quantizes: layer.gate.quantizesActivations || layer.up.quantizesActivations)
    gateProjection(layer, tokens: tokens)
    if layer.down.quantizesActivations {
      let length = configuration.feedForwardLength
      pool.run(count: tokens, grain: ProductShares.tokenGrain) { _, range in
        for token in range { gate.quantize(token: token, columns: length, path: compute.path) }
      }
    }
    addProjection(layer.down, gate, tokens: tokens, next: next)
  }

  private func attentionNorm(_ layer: DecoderWeights.Layer, tokens: Int) {
    norm(
      layer.attentionNorm, tokens: tokens,
      quantizes: layer.attentionInput.quantizesActivations)
  }

  private func norm(_ weight: [Float], tokens: Int, quantizes: Bool) {
    let width = configuration.width
    pool.run(count: tokens, grain: ProductShares.tokenGrain) { _, range in
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
}
