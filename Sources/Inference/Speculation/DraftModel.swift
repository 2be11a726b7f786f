import Tensors

/// A small model that drafts for the engine's own: with a cache of its own under the same block
/// numbers, so that tables, sharing and what becomes of rejected tokens are the scheduler's affair
/// for both.
///
/// Keys and values are a function of the tokens up to their own. So a block that several sequences
/// share is computed for the first of them that drafts.
final class DraftModel {
  /// A sequence to draft for.
  struct Request {
    let sequence: RunningSequence
    /// All its tokens; the last one has no keys and values in the target's cache yet.
    let tokens: [Int32]
    /// Its blocks, with room for the drafted tokens.
    let blocks: [Int32]
    /// How many tokens to draft.
    let count: Int
  }

  /// How far a sequence's tokens have keys and values in the draft's cache.
  struct Progress {
    /// Tokens from the first on, as far as they are in `tail` or in filled blocks.
    var computed = 0
    /// The block that the last of them are in, and which taking of it.
    var tail: Int32 = -1
    var taking: UInt32 = 0
  }

  let model: LanguageModel
  private let pass: DecoderPass
  private let sampler: TokenSampler
  private let scratch: AlignedBuffer<Float>
  private let maxTokens: Int
  private let blockTokens: Int
  /// For each block the taking under which all of it was computed; 0 for none.
  private var filled: [UInt32]
  private var batch = TokenBatch()
  /// What a pass over so many sequences takes.
  private(set) var cost = StepCost()

  /// Reserves memory; throws `outOfMemory`.
  init(
    model: LanguageModel, target: DecoderPass, sampler: TokenSampler,
    scratch: AlignedBuffer<Float>, options: EngineOptions, contextLength: Int, blocks: Int
  ) throws(InferenceError) {
    self.model = model
    self.sampler = sampler
    self.scratch = scratch
    maxTokens = options.maxTokensPerStep
    blockTokens = options.kvBlockTokens
    filled = Array(repeating: 0, count: blocks)
    let cache = try KeyValueCache(
      configuration: model.configuration, storage: model.keyValueStorage,
      blockTokens: options.kvBlockTokens, blocks: blocks)
    do {
      pass = try DecoderPass(
        weights: model.weights, configuration: model.configuration, compute: target.work.compute,
        pool: target.pool, cache: cache, window: target.work.window, contextLength: contextLength,
        maxTokens: maxTokens, maxLogitRows: options.maxSequences)
    } catch {
      throw InferenceError(error)
    }
  }

  /// Drafts tokens for each request, as the target's sampler would choose them from the draft's
  /// logits with the target's own random numbers. None for a sequence of which more tokens are
  /// missing than a step may hold: these are caught up with, as many as fit. Nor for one of which
  /// tokens are missing whose blocks have left the window. `goesOn` is asked after each token whether a
  /// further one is wanted, with what was drafted so far.
  func draft(
    _ requests: [Request], takings: [UInt32], goesOn: (Request, [DraftedToken]) -> Bool
  ) -> [[DraftedToken]] {
    var drafts: [[DraftedToken]] = Array(repeating: [], count: requests.count)
    batch.removeAll()
    var rows: [Int] = []
    var active: [Int] = []
    for (index, request) in requests.enumerated() {
      guard let start = computedTokens(request, takings: takings) else {
        note(request, computed: 0, takings: takings)
        continue
      }
      let count = min(request.tokens.count - start, maxTokens - batch.count)
      // Also where none fits: what was noted earlier may be of blocks that it has no more.
      note(request, computed: start + count, takings: takings)
      guard count > 0 else { continue }
      append(request.tokens[start..<start + count], start: start, request)
      // Known tokens are never taken back, and keys and values of the whole batch are stored before
      // attention reads any: those behind in this batch may rely on whole blocks of them.
      for place in start / blockTokens..<(start + count) / blockTokens {
        filled[Int(request.blocks[place])] = takings[Int(request.blocks[place])]
      }
      guard start + count == request.tokens.count else { continue }
      rows.append(batch.count - 1)
      active.append(index)
    }
    while batch.count > 0 {
      let seconds = ContinuousClock().measure {
        pass.run(batch, finals: rows)
        pass.computeLogits(rows: rows)
        choose(requests, active, &drafts)
      }
      // What catching up takes says nothing of a pass.
      if batch.count <= 2 * active.count {
        cost.record(tokens: active.count, seconds: seconds / .seconds(1))
      }
      batch.removeAll()
      active.removeAll {
        !goesOn(requests[$0], drafts[$0]) || drafts[$0].count == requests[$0].count
      }
      rows = Array(active.indices)
      for index in active {
        let request = requests[index]
        let position = request.tokens.count + drafts[index].count - 1
        append([drafts[index][drafts[index].count - 1].token], start: position, request)
        note(request, computed: position + 1, takings: takings)
      }
    }
    return drafts
  }

  /// Whether it has what is needed to go on with a sequence, or can compute it: not where blocks have
  /// left the window before it came to them.
  func canDraft(_ request: Request, takings: [UInt32]) -> Bool {
    pass.work.window == nil || computedTokens(request, takings: takings) != nil
  }

  /// Takes note of a step in which nobody wanted a draft.
  func passOver() { cost.pass() }

  /// Takes note of how many of a sequence's tokens have keeping keys and values, in the blocks that
  /// it had when they were computed: what was computed for rejected ones is void.
  func settle(_ sequence: RunningSequence, computed: Int, blocks: [Int32], takings: [UInt32]) {
    sequence.draftProgress.computed = min(sequence.draftProgress.computed, computed)
    let whole = sequence.draftProgress.computed / blockTokens
    for block in blocks.prefix(whole).reversed() {
      guard block >= 0, filled[Int(block)] != takings[Int(block)] else { break }
      filled[Int(block)] = takings[Int(block)]
    }
    setTail(sequence, blocks, takings)
  }

  private func append(_ tokens: ArraySlice<Int32>, start: Int, _ request: Request) {
    batch.append(tokens, start: start, table: request.sequence.table.base)
  }

  private func note(_ request: Request, computed: Int, takings: [UInt32]) {
    request.sequence.draftProgress.computed = computed
    setTail(request.sequence, request.blocks, takings)
  }

  private func setTail(_ sequence: RunningSequence, _ blocks: [Int32], _ takings: [UInt32]) {
    let place = sequence.draftProgress.computed / blockTokens
    let tail = place < blocks.count ? blocks[place] : -1
    sequence.draftProgress.tail = tail
    sequence.draftProgress.taking = tail < 0 ? 0 : takings[Int(tail)]
  }

  /// Tokens from the first on that need not be computed again; `nil` where it would have to be and
  /// cannot. The last one always is, for its logits.
  private func computedTokens(_ request: Request, takings: [UInt32]) -> Int? {
    let progress = request.sequence.draftProgress
    var computed = 0
    let lost = request.blocks.lastIndex { $0 < 0 }.map { ($0 + 1) * blockTokens } ?? 0
    for (place, block) in request.blocks.enumerated() where block >= 0 {
      guard filled[Int(block)] != takings[Int(block)] else {
        computed = (place + 1) * blockTokens
        continue
      }
      if block == progress.tail, takings[Int(block)] == progress.taking {
        computed = max(computed, min(progress.computed, (place + 1) * blockTokens))
      }
      break
    }
    let start = min(computed, request.tokens.count - 1)
    guard lost == 0 || pass.work.window.map({ $0.firstRead(at: start) >= lost }) ?? false else {
      return nil
    }
    return start
  }

  private func choose(
    _ requests: [Request], _ active: [Int], _ drafts: inout [[DraftedToken]]
  ) {
    typealias Choice = TokenSampler.Choice
    let chosen = [Choice?](unsafeUninitializedCapacity: active.count) { buffer, count in
      buffer.initialize(repeating: nil)
      pass.pool.run(count: active.count) { thread, range in
        for row in range {
          let request = requests[active[row]]
          let options = request.sequence.request.options
          let drafted = drafts[active[row]]
          var history = request.sequence.history
          if options.changesLogits { for each in drafted { history.append(each.token) } }
          buffer[row] =
            sampler.choose(
              logits: pass.logits(at: row), options: options.withOneLogprob, history: history,
              random: Philox.uniform(
                seed: options.seed, position: request.tokens.count + drafted.count,
                output: request.sequence.output),
              rules: request.sequence.rules(behind: drafted.map(\.token)),
              scratch: scratch.base + thread * sampler.vocabulary)
        }
      }
      count = active.count
    }
    // A draft whose logits are not finite drafts something; it will not be accepted.
    for (row, choice) in chosen.enumerated() {
      let probability = choice?.logprob.map { Float(Compute.exp(Double($0))) }
      drafts[active[row]].append(
        DraftedToken(choice?.token ?? 0, DraftSource(probability: probability ?? 0)))
    }
  }
}

extension SamplingOptions {
  /// With the log-probability of what is chosen.
  fileprivate var withOneLogprob: SamplingOptions {
    var options = self
    options.logprobs = 0
    return options
  }
}
