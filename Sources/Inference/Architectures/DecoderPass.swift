import ModelFormats
import Tensors

/// Computes the hidden states and logits of batches of tokens, on memory reserved once.
///
/// What is computed for a token depends on its sequence only: rows of a batch never mix, and every
/// kernel's order of arithmetic is fixed, so neither batch, nor chunks, nor threads change a bit.
final class DecoderPass {
  let weights: DecoderWeights
  let pool: ThreadPool
  let cache: KeyValueCache
  /// What loops compute on: the memory below.
  let work: DecoderWork

  let normed: ActivationBuffer
  let attended: ActivationBuffer
  let gate: ActivationBuffer
  private let rotary: RotaryTable
  private let hidden: AlignedBuffer<Float>
  private let delta: AlignedBuffer<Float>
  private let projected: AlignedBuffer<Float>
  private let up: AlignedBuffer<Float>
  private let scratch: AlignedBuffer<Float>

  private let finals: ActivationBuffer
  /// For each row of the last batch whose final state is known, which row of `hidden` that is.
  private var finalPlaces: [Int]
  /// Those rows' tokens, where they are not all of the batch.
  private var finalBatch = TokenBatch()
  /// Logits of the rows asked for last, [rows][vocabulary].
  let logits: AlignedBuffer<Float>
  /// The most rows of logits at a time.
  let maxLogitRows: Int
  private let vocabulary: Int

  /// Reserves memory for steps of up to `maxTokens` tokens and `maxLogitRows` rows of logits.
  init(
    weights: DecoderWeights, configuration: ModelConfiguration, compute: Compute, pool: ThreadPool,
    cache: KeyValueCache, window: AttentionWindow?, contextLength: Int, maxTokens: Int,
    maxLogitRows: Int
  ) throws(TensorError) {
    self.weights = weights
    self.pool = pool
    self.cache = cache
    self.maxLogitRows = maxLogitRows
    vocabulary = configuration.vocabularySize
    rotary = try RotaryTable(
      frequencies: RotaryTable.frequencies(
        dimension: configuration.ropeDimension, base: Double(configuration.ropeBase),
        scale: weights.ropeScale, factors: weights.ropeFactors),
      positions: contextLength)
    let width = configuration.width
    let queryWidth = configuration.attentionHeads * configuration.headDimension
    let keyWidth = configuration.keyValueHeads * configuration.headDimension
    hidden = try AlignedBuffer(count: maxTokens * width, zeroed: false)
    delta = try AlignedBuffer(count: maxTokens * width, zeroed: false)
    projected = try AlignedBuffer(
      count: maxTokens * (queryWidth + 2 * keyWidth), zeroed: false)
    up = try AlignedBuffer(count: maxTokens * configuration.feedForwardLength, zeroed: false)
    normed = try ActivationBuffer(tokens: maxTokens, columns: width)
    attended = try ActivationBuffer(tokens: maxTokens, columns: queryWidth)
    gate = try ActivationBuffer(tokens: maxTokens, columns: configuration.feedForwardLength)
    finals = try ActivationBuffer(tokens: maxLogitRows, columns: width)
    finalPlaces = Array(repeating: 0, count: maxTokens)
    logits = try AlignedBuffer(count: maxLogitRows * configuration.vocabularySize, zeroed: false)
    let scratchStride = Compute.attentionScratch(
      group: configuration.queriesPerKeyValueHead, headDimension: configuration.headDimension)
    scratch = try AlignedBuffer(count: scratchStride * pool.threads, zeroed: false)
    let keys = projected.base + maxTokens * queryWidth
    work = DecoderWork(
      compute: compute, width: width, queryWidth: queryWidth, keyWidth: keyWidth,
      feedForwardLength: configuration.feedForwardLength,
      attentionHeads: configuration.attentionHeads, keyValueHeads: configuration.keyValueHeads,
      headDimension: configuration.headDimension, rmsEpsilon: configuration.rmsEpsilon,
      rotary: rotary.view, window: window, maxTokens: maxTokens, hidden: hidden.base,
      delta: delta.base, queries: projected.base, keys: keys, values: keys + maxTokens * keyWidth,
      up: up.base, normed: normed.view, attended: attended.view, gate: gate.view,
      scratch: scratch.base, scratchStride: scratchStride)
  }

  /// Runs all layers over a batch and writes its keys and values; tokens and positions are in
  /// range.
  ///
  /// Final states are computed of the rows asked for, each once, in ascending order: nobody reads those
  /// of most tokens of a prompt, and so the last layer computes no more than keys and values of these.
  func run(_ batch: TokenBatch, finals rows: some Collection<Int>) {
    assert(zip(rows, rows.dropFirst()).allSatisfy(<), "rows must ascend")
    batch.tokens.withUnsafeBufferPointer {
      pool.run(
        count: batch.count, grain: ProductShares.tokenGrain,
        EmbeddingLoop(table: weights.embedding.view, tokens: $0, work: work))
    }
    assert(forgetFinalPlaces())
    for (place, row) in rows.enumerated() { finalPlaces[row] = place }
    let last = rows.count < batch.count ? weights.layers.count - 1 : nil
    for (index, layer) in weights.layers.enumerated() {
      if index == last {
        finalBatch.set(rows, of: batch)
        attention(layer, cache[index], batch, of: rows, finalBatch)
      } else {
        attention(layer, cache[index], batch)
      }
      feedForward(
        layer, tokens: index == last ? finalBatch.count : batch.count,
        next: sharesAfter(index, last: last, batch, finals: rows.count))
    }
  }

  /// What is multiplied after a layer; `last` is the layer of which not all rows are computed, if any.
  private func sharesAfter(
    _ index: Int, last: Int?, _ batch: TokenBatch, finals: Int
  ) -> ProductShares? {
    guard index + 1 < weights.layers.count else {
      return finals > 0 ? shares(weights.output, tokens: finals) : nil
    }
    let next = weights.layers[index + 1]
    return shares(
      index + 1 == last ? next.keyAndValue : next.attentionInput, tokens: batch.count)
  }

  /// Computes the logits of rows of the last batch whose final states are known, at most
  /// `maxLogitRows`, into `logits`.
  func computeLogits(rows: some Collection<Int>) {
    // A step of nothing but beginnings of prompts has none.
    guard !rows.isEmpty else { return }
    let states = finals.view
    for (index, row) in rows.enumerated() {
      finalState(row: row, out: states.values + index * work.width)
    }
    if weights.output.quantizesActivations {
      work.quantize(states, columns: work.width, tokens: 0..<rows.count)
    }
    project(
      weights.output, states, tokens: rows.count, out: logits.base, capacity: maxLogitRows,
      next: weights.layers.first.map { shares($0.attentionInput, tokens: rows.count) })
  }

  /// The final hidden state of a row of the last batch that was asked for, from which its logits
  /// are computed.
  func finalState(row: Int, out: UnsafeMutablePointer<Float>) {
    assert(finalPlaces[row] >= 0, "the state of row \(row) was not asked for")
    work.compute.rmsNorm(
      work.hidden + finalPlaces[row] * work.width, weight: weights.outputNorm, count: work.width,
      epsilon: work.rmsEpsilon, out: out)
  }

  /// Only where assertions are on.
  private func forgetFinalPlaces() -> Bool {
    for row in finalPlaces.indices { finalPlaces[row] = -1 }
    return true
  }

  /// The logits of the row at a place in what `computeLogits` was given last.
  func logits(at index: Int) -> UnsafeMutablePointer<Float> {
    logits.base + index * vocabulary
  }
}
