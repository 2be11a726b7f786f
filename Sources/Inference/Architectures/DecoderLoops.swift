import Tensors

// The loops over the tokens of a step, in the order of a layer. Structs of pointers and numbers:
// closures would each take an allocation.

/// hidden = the tokens' embeddings.
struct EmbeddingLoop: ParallelLoop {
  let table: EmbeddingTable.View
  let tokens: UnsafeBufferPointer<Int32>
  let work: DecoderWork

  func run(thread: Int, range: Range<Int>) {
    table.read(tokens[range], out: work.hidden + range.lowerBound * work.width)
  }
}

/// normed = norm(hidden) * weight.
struct NormLoop: ParallelLoop {
  let work: DecoderWork
  let weight: UnsafePointer<Float>
  let quantizes: Bool

  func run(thread: Int, range: Range<Int>) {
    let width = work.width
    for token in range {
      work.compute.rmsNorm(
        work.hidden + token * width, weight: weight, count: width, epsilon: work.rmsEpsilon,
        out: work.normed.values + token * width)
      if quantizes { work.quantize(work.normed, columns: width, tokens: token..<token + 1) }
    }
  }
}

/// Rotates queries.
struct RotateLoop: ParallelLoop {
  let work: DecoderWork
  let positions: UnsafeBufferPointer<Int>

  func run(thread: Int, range: Range<Int>) {
    for token in range { work.rotateQuery(token, position: positions[token]) }
  }
}

/// Rotates keys, with `queries` those too, and writes keys and values into the cache.
struct StoreLoop: ParallelLoop {
  let work: DecoderWork
  let store: KeyValueLayer
  let positions: UnsafeBufferPointer<Int>
  let tables: UnsafeBufferPointer<UnsafePointer<Int32>>
  let queries: Bool

  func run(thread: Int, range: Range<Int>) {
    for token in range {
      if queries { work.rotateQuery(token, position: positions[token]) }
      work.rotateAndStore(token, position: positions[token], table: tables[token], store)
    }
  }
}

/// attended = attention of queries to the cache: a run of tokens and a key-value head at a time, in the
/// order of tokens, whose keys and values the same thread has just written.
struct AttentionLoop: ParallelLoop {
  let work: DecoderWork
  let store: KeyValueLayer
  let runs: UnsafeBufferPointer<(first: Int, run: AttentionRun)>

  func run(thread: Int, range: Range<Int>) {
    let heads = work.keyValueHeads
    for item in range { attend(runs[item / heads], head: item % heads, thread: thread) }
  }

  private func attend(_ run: (first: Int, run: AttentionRun), head: Int, thread: Int) {
    let group = work.attentionHeads / work.keyValueHeads
    let place = run.first * work.queryWidth + head * group * work.headDimension
    work.compute.attention(
      store, run.run, window: work.window, keyValueHead: head, group: group,
      scale: 1 / Float(work.headDimension).squareRoot(), queries: work.queries + place,
      out: work.attended.values + place, stride: work.queryWidth,
      scratch: work.scratch + thread * work.scratchStride)
  }
}

/// Quantizes rows of activations.
struct QuantizeLoop: ParallelLoop {
  let work: DecoderWork
  let rows: Activations
  let columns: Int

  func run(thread: Int, range: Range<Int>) {
    work.quantize(rows, columns: columns, tokens: range)
  }
}
