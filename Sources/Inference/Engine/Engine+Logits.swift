import ModelFormats
import Tensors

extension Engine {
  /// The logits after every token of a text: float32, [tokens][vocabulary].
  ///
  /// `chunk` tokens are computed at a time, at most as many as a step may hold, or through a window as
  /// a chunk of a prompt (`nil` for as many as that); it changes nothing in the result. Throws
  /// `requestInvalid` or `promptTooLong` for tokens that cannot be run, and `noRoom` where sequences in
  /// flight leave too little of the cache.
  public func logits(tokens: [Int32], chunk: Int? = nil) throws(InferenceError) -> [Float] {
    var result: [Float] = []
    try logits(tokens: tokens, chunk: chunk) { rows in
      result.append(contentsOf: rows)
      return true
    }
    return result
  }

  /// The same, a few rows at a time, for texts whose logits are too many to be held at once.
  ///
  /// `receive` gets whole rows in order and says whether to go on; their memory is used again
  /// afterwards.
  public func logits(
    tokens: [Int32], chunk: Int? = nil, _ receive: (UnsafeBufferPointer<Float>) -> Bool
  ) throws(InferenceError) {
    let vocabulary = model.configuration.vocabularySize
    guard !tokens.isEmpty, tokens.allSatisfy((0..<Int32(vocabulary)).contains) else {
      throw InferenceError(
        code: .requestInvalid,
        message: "tokens must be one or more ids below \(vocabulary).",
        context: ["field": "tokens"])
    }
    guard tokens.count <= contextLength else {
      throw InferenceError(
        code: .promptTooLong,
        message: "\(tokens.count) tokens do not fit into a context of \(contextLength).",
        context: ["field": "tokens"])
    }
    let window = pass.work.window
    let needed = scheduler.mostBlocks(for: tokens.count)
    guard needed <= scheduler.pool.available else {
      throw InferenceError(
        code: .noRoom,
        message: "The cache has no room for \(tokens.count) tokens now; try again later.")
    }
    let table = try BlockTable(capacity: scheduler.pool.blocks(for: tokens.count))
    var blocks: [Int32] = []
    defer { scheduler.pool.release(all: blocks.filter { $0 >= 0 }) }
    let most = window == nil ? options.maxTokensPerStep : scheduler.limits.chunk
    let size = min(max(chunk ?? most, 1), most, options.maxTokensPerStep)
    for start in stride(from: 0, to: tokens.count, by: size) {
      let end = min(start + size, tokens.count)
      if let window {
        let sinks = scheduler.pool.blocks(for: window.sinks)
        let passed = window.firstRead(at: start) / options.kvBlockTokens
        for place in sinks..<max(passed, sinks) where blocks[place] >= 0 {
          scheduler.pool.release(blocks[place])
          blocks[place] = -1
        }
      }
      while blocks.count < scheduler.pool.blocks(for: end), let block = scheduler.pool.take() {
        blocks.append(block)
      }
      table.set(blocks)
      batch.removeAll()
      batch.append(tokens[start..<end], start: start, table: table.base)
      pass.run(batch, finals: 0..<batch.count)
      for first in stride(from: 0, to: end - start, by: pass.maxLogitRows) {
        let rows = first..<min(first + pass.maxLogitRows, end - start)
        pass.computeLogits(rows: rows)
        let found = UnsafeBufferPointer(
          start: pass.logits(at: 0), count: rows.count * vocabulary)
        guard receive(found) else { return }
      }
    }
  }
}
