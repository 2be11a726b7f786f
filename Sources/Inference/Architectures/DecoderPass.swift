import ModelFormats
import Tensors

/// Computes the hidden states and logits of batches of tokens, on memory reserved once.
///
/// What is computed for a token depends on its sequence only: rows of a batch never mix, and every
/// kernel's order of arithmetic is fixed, so neither batch, nor chunks, nor threads change a bit.
final class DecoderPass {
  let weights: DecoderWeights
  let configuration: ModelConfiguration
  let compute: Compute
  let pool: ThreadPool
  let cache: KeyValueCache
  let rotary: RotaryTable
  /// What tokens see, if not all before them.
  let window: AttentionWindow?

  let hidden: AlignedBuffer<Float>
  let delta: AlignedBuffer<Float>
  let queries: AlignedBuffer<Float>
  let keys: AlignedBuffer<Float>
  let values: AlignedBuffer<Float>
  let up: AlignedBuffer<Float>
  let normed: ActivationBuffer
  let attended: ActivationBuffer
  let gate: ActivationBuffer
  let scratch: AlignedBuffer<Float>
  let scratchStride: Int

  private let finals: ActivationBuffer
  /// For each row of the last batch whose final state is known, which row of `hidden` that is.
  private var finalPlaces: [Int]
  /// Those rows' tokens, where they are not all of the batch.
  private var finalBatch = TokenBatch()
  /// Logits of the rows asked for last, [rows][vocabulary].
  let logits: AlignedBuffer<Float>
  /// The most rows of logits at a time.
  let maxLogitRows: Int

  var queryWidth: Int { configuration.attentionHeads * configuration.headDimension }
  var keyWidth: Int { configuration.keyValueHeads * configuration.headDimension }

  /// Reserves memory for steps of up to `maxTokens` tokens and `maxLogitRows` rows of logits.
  init(
    weights: DecoderWeights, configuration: ModelConfiguration, compute: Compute, pool: ThreadPool,
    cache: KeyValueCache, window: AttentionWindow?, contextLength: Int, maxTokens: Int,
    maxLogitRows: Int
  ) throws(TensorError) {
    self.weights = weights
    self.configuration = configuration
    self.compute = compute
    self.pool = pool
    self.cache = cache
    self.window = window
    self.maxLogitRows = maxLogitRows
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
    queries = try AlignedBuffer(count: maxTokens * queryWidth, zeroed: false)
    keys = try AlignedBuffer(count: maxTokens * keyWidth, zeroed: false)
    values = try AlignedBuffer(count: maxTokens * keyWidth, zeroed: false)
    up = try AlignedBuffer(count: maxTokens * configuration.feedForwardLength, zeroed: false)
    normed = try ActivationBuffer(tokens: maxTokens, columns: width)
    attended = try ActivationBuffer(tokens: maxTokens, columns: queryWidth)
    gate = try ActivationBuffer(tokens: maxTokens, columns: configuration.feedForwardLength)
    finals = try ActivationBuffer(tokens: maxLogitRows, columns: width)
    finalPlaces = Array(repeating: 0, count: maxTokens)
    logits = try AlignedBuffer(count: maxLogitRows * configuration.vocabularySize, zeroed: false)
    scratchStride = Compute.attentionScratch(
      group: configuration.queriesPerKeyValueHead, headDimension: configuration.headDimension)
    scratch = try AlignedBuffer(count: scratchStride * pool.threads, zeroed: false)
  }

  /// Runs all layers over a batch and writes its keys and values; tokens and positions are in
  /// range.
  ///
  /// Final states are computed of the rows asked for, each once, in ascending order: nobody reads those
  /// of most tokens of a prompt, and so the last layer computes no more than keys and values of these.
  func run(_ batch: TokenBatch, finals rows: some Collection<Int>) {
    assert(zip(rows, rows.dropFirst()).allSatisfy(<), "rows must ascend")
    pool.run(count: batch.count, grain: ProductShares.tokenGrain) { _, range in
      weights.embedding.read(
        batch.tokens[range], out: hidden.base + range.lowerBound * configuration.width)
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
      let isLast = index == weights.layers.count - 1
      feedForward(
        layer, tokens: index == last ? finalBatch.count : batch.count,
        next: isLast ? weights.output : weights.layers[index + 1].attentionInput)
    }
  }

  /// Computes the logits of rows of the last batch whose final states are known, at most
  /// `maxLogitRows`, into `logits`.
  func computeLogits(rows: some Collection<Int>) {
    // A step of nothing but beginnings of prompts has none.
    guard !rows.isEmpty else { return }
    let width = configuration.width
    for (index, row) in rows.enumerated() {
      finalState(row: row, out: finals.values.base + index * width)
      if weights.output.quantizesActivations {
        finals.quantize(token: index, columns: width, path: compute.path)
      }
    }
    project(
      weights.output, finals, tokens: rows.count, outs: [logits.base],
      next: weights.layers.first?.attentionInput)
  }

  /// The final hidden state of a row of the last batch that was asked for, from which its logits
  /// are computed.
  func finalState(row: Int, out: UnsafeMutablePointer<Float>) {
    assert(finalPlaces[row] >= 0, "the state of row \(row) was not asked for")
    compute.rmsNorm(
      hidden.base + finalPlaces[row] * configuration.width, weight: weights.outputNorm,
      count: configuration.width, epsilon: configuration.rmsEpsilon, out: out)
  }

  /// Only where assertions are on.
  private func forgetFinalPlaces() -> Bool {
    for row in finalPlaces.indices { finalPlaces[row] = -1 }
    return true
  }

  /// The logits of the row at a place in what `computeLogits` was given last.
  func logits(at index: Int) -> UnsafeMutablePointer<Float> {
    logits.base + index * configuration.vocabularySize
  }
}
