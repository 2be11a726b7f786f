import ModelFormats
import Tensors

extension DecoderPass {
  /// hidden += attention(norm(hidden)), and the batch's keys and values are in the cache.
  func attention(_ layer: DecoderWeights.Layer, _ store: KeyValueLayer, _ batch: TokenBatch) {
    let tokens = batch.count
    attentionNorm(layer, tokens: tokens)
    project(
      layer.attentionInput, normed.view, tokens: tokens, out: work.queries,
      capacity: work.maxTokens, next: shares(layer.attentionOutput, tokens: tokens))
    rotateAndStore(store, batch, queries: true)
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
      layer.keyAndValue, normed.view, tokens: batch.count, out: work.keys, capacity: work.maxTokens,
      next: rows.isEmpty ? nil : shares(layer.query, tokens: rows.count))
    rotateAndStore(store, batch, queries: false)
    let width = work.width
    for (place, row) in rows.enumerated() where place < row {
      (work.hidden + place * width).update(from: work.hidden + row * width, count: width)
    }
    // A step of nothing but beginnings of prompts has none.
    guard !rows.isEmpty else { return }
    attentionNorm(layer, tokens: rows.count)
    project(
      layer.query, normed.view, tokens: rows.count, out: work.queries, capacity: work.maxTokens,
      next: shares(layer.attentionOutput, tokens: rows.count))
    selected.positions.withUnsafeBufferPointer {
      forTokens(selected.count, RotateLoop(work: work, positions: $0))
    }
    attend(layer, store, selected)
  }

  /// hidden += down(silu(gate(norm(hidden))) * up(norm(hidden))). `next` is what is multiplied then.
  func feedForward(_ layer: DecoderWeights.Layer, tokens: Int, next: ProductShares?) {
    guard tokens > 0 else { return }
    norm(
      layer.feedForwardNorm, tokens: tokens,
      quantizes: layer.gate.quantizesActivations || layer.up.quantizesActivations)
    shares(layer.gate, tokens: tokens).run(
      on: pool, next: shares(layer.down, tokens: tokens),
      GateLoop(
        work: work, gate: layer.gate.view, up: layer.up.view,
        cuts: layer.gate.quantizesActivations))
    addProjection(layer.down, gate.view, tokens: tokens, next: next)
  }

  /// Products of several matrices with the same activations; see `DecoderWork.products`. `next` is what is
  /// multiplied then.
  func project(
    _ stack: MatrixStack, _ input: Activations, tokens: Int, out: UnsafeMutablePointer<Float>,
    capacity: Int, next: ProductShares?
  ) {
    shares(stack, tokens: tokens).run(
      on: pool, next: next,
      ProjectionLoop(work: work, stack: stack.view, input: input, out: out, capacity: capacity))
  }

  /// hidden += the output projection of attention by the queries of a batch's tokens.
  private func attend(
    _ layer: DecoderWeights.Layer, _ store: KeyValueLayer, _ batch: TokenBatch
  ) {
    batch.runs.withUnsafeBufferPointer {
      pool.run(
        count: $0.count * work.keyValueHeads, AttentionLoop(work: work, store: store, runs: $0))
    }
    addProjection(
      layer.attentionOutput, attended.view, tokens: batch.count,
      next: shares(layer.gate, tokens: batch.count))
  }

  /// hidden += matrix * activations, which are quantized first where the matrix asks for it.
  private func addProjection(
    _ matrix: MatrixStack, _ input: Activations, tokens: Int, next: ProductShares?
  ) {
    if matrix.quantizesActivations {
      let columns = matrix.matrices[0].shape.columns
      forTokens(tokens, QuantizeLoop(work: work, rows: input, columns: columns))
    }
    shares(matrix, tokens: tokens).run(
      on: pool, next: next, ResidualLoop(work: work, matrix: matrix.view, input: input))
  }

  private func attentionNorm(_ layer: DecoderWeights.Layer, tokens: Int) {
    norm(
      layer.attentionNorm, tokens: tokens, quantizes: layer.attentionInput.quantizesActivations)
  }

  private func norm(_ weight: [Float], tokens: Int, quantizes: Bool) {
    weight.withUnsafeBufferPointer { weight in
      guard let weight = weight.baseAddress else { return }
      forTokens(tokens, NormLoop(work: work, weight: weight, quantizes: quantizes))
    }
  }

  /// Rotates a batch's keys, with `queries` those too, and writes keys and values into the cache.
  private func rotateAndStore(_ store: KeyValueLayer, _ batch: TokenBatch, queries: Bool) {
    batch.positions.withUnsafeBufferPointer { positions in
      batch.tables.withUnsafeBufferPointer { tables in
        forTokens(
          batch.count,
          StoreLoop(
            work: work, store: store, positions: positions, tables: tables, queries: queries))
      }
    }
  }

  /// Hands out per-token work.
  private func forTokens(_ count: Int, _ loop: some ParallelLoop) {
    pool.run(count: count, grain: ProductShares.tokenGrain, loop)
  }

  func shares(_ stack: MatrixStack, tokens: Int) -> ProductShares {
    ProductShares(stack.view, tokens: tokens, threads: pool.threads)
  }
}
