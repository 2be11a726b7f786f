import Grammars
import ModelFormats
public import Tensors

/// Generates tokens for many sequences at once, one step at a time.
///
/// ```swift
/// let engine = try Engine(model: model, options: EngineOptions())
/// try engine.add(GenerationRequest(sequence: 1, promptTokens: model.encodePrompt("Once")))
/// while engine.hasWork {
///   for output in try engine.step() { print(output.tokens.map(\.text).joined()) }
/// }
/// ```
///
/// An output is a function of the model file, the prompt tokens, the sampling options and the seed,
/// byte for byte, whatever else is in flight and whatever the options of the engine are.
///
/// Sequences take memory of the cache as they grow. Those for which there is none wait in the engine
/// for their turn; where running ones need more than there is, the one of the lowest priority, then
/// the youngest, steps back and is computed again later. Nobody has to do anything about it, and
/// nothing of it shows in the output.
///
/// To be used from one thread at a time: it is not `Sendable`, and a step blocks while it computes.
public final class Engine {
  /// The model.
  public let model: LanguageModel
  /// The most tokens, prompt and output together, of one sequence.
  public let contextLength: Int
  /// The kernels that compute; never `.auto`.
  public let kernelPath: KernelPath

  let options: EngineOptions
  let draft: DraftModel?
  let pass: DecoderPass
  let cache: KeyValueCache
  let sampler: TokenSampler
  let samplerScratch: AlignedBuffer<Float>
  var scheduler: Scheduler
  var sequences: [UInt64: RunningSequence] = [:]
  /// Resumed sequences that were complete when they came, to be reported by the next step.
  var complete: [UInt64] = []
  private let constraints = ConstraintCache()
  var batch = TokenBatch()
  var counters = EngineStatistics()
  var pacer: StepPacer?
  var speculationRecord = SpeculationRecord()

  /// The most drafted tokens of a step, for all sequences together: with more tokens than that a step
  /// is bound by arithmetic, and none pays.
  static let maximumDrafts = 64

  /// Reserves the memory that steps need; throws `optionsInvalid` or `outOfMemory`.
  /// - Parameter draft: a smaller model with the same vocabulary that drafts for sequences that want
  ///   it.
  public init(
    model: LanguageModel, draft: LanguageModel? = nil, options: EngineOptions = EngineOptions()
  ) throws(InferenceError) {
    let resolved = try options.resolved(for: model, draft: draft)
    self.model = model
    self.options = options
    contextLength = resolved.contextLength
    pacer = options.tokenLatency.map { StepPacer(target: $0 / .seconds(1)) }
    cache = try KeyValueCache(
      configuration: model.configuration, storage: model.keyValueStorage,
      blockTokens: options.kvBlockTokens, blocks: resolved.cacheBlocks)
    scheduler = Scheduler(
      limits: Scheduler.Limits(
        tokens: options.maxTokensPerStep, chunk: options.prefillChunk, drafts: Self.maximumDrafts),
      pool: BlockPool(
        count: resolved.cacheBlocks, blockTokens: options.kvBlockTokens,
        cachesPrefixes: options.cachesPrefixes))
    do {
      let compute = try Compute(path: resolved.kernelPath)
      let pool = try ThreadPool(threads: resolved.threads)
      pass = try DecoderPass(
        weights: model.weights, configuration: model.configuration, compute: compute, pool: pool,
        cache: cache, contextLength: contextLength, maxTokens: options.maxTokensPerStep,
        maxLogitRows: options.maxSequences + Self.maximumDrafts)
      sampler = TokenSampler(compute: compute, vocabulary: model.configuration.vocabularySize)
      samplerScratch = try AlignedBuffer(
        count: resolved.threads * model.configuration.vocabularySize)
      kernelPath = compute.path
    } catch {
      throw InferenceError(error)
    }
    if let draft {
      self.draft = try DraftModel(
        model: draft, target: pass, sampler: sampler, scratch: samplerScratch, options: options,
        contextLength: resolved.contextLength, blocks: resolved.cacheBlocks)
    } else {
      self.draft = nil
    }
    counters.kvBlocks = resolved.cacheBlocks
    counters.kvBlockBytes = resolved.blockBytes
  }

  /// Puts the calling thread, and all that it starts from now on, the engines' own among them, behind
  /// the machine's other threads, by a niceness of 0 to 19. It is named as theirs are. An engine's threads do not sleep while there is work, so that
  /// others, such as those that pass its tokens on, would have to wait for them. It cannot be taken
  /// back: only a privileged thread may come forward again.
  public static func giveWay(niceness: Int) {
    ThreadPool.giveWay(niceness: niceness)
  }

  /// Compute threads, the calling one included.
  public var threads: Int { pass.pool.threads }

  /// Sequences in flight, those that wait for room in the cache included.
  public var activeSequences: Int { sequences.count }

  /// Whether a step would do anything.
  public var hasWork: Bool { !sequences.isEmpty }

  /// What was done so far.
  public var statistics: EngineStatistics {
    var statistics = counters
    statistics.kvBlocksInUse = scheduler.pool.count - scheduler.pool.available
    statistics.kvBlocksKept = scheduler.pool.keptCount
    statistics.prefixLookups = scheduler.statistics.prefixLookups
    statistics.prefixHitTokens = scheduler.statistics.prefixHitTokens
    statistics.prefixEvictions = scheduler.pool.evictions
    statistics.preemptions = scheduler.statistics.preemptions
    return statistics
  }

  /// Whether a request that is valid would be taken in now: whether fewer than `maxSequences` are in
  /// flight. The cache need not have room for it.
  public func canAdmit(_ request: GenerationRequest) -> Bool {
    sequences.count < options.maxSequences && sequences[request.sequence] == nil
  }

  /// Takes in a sequence. It has its turn in a step as soon as the cache has room for the beginning
  /// of it, after those of a higher priority and older ones of the same.
  ///
  /// Throws `requestInvalid` for a field out of range, `promptTooLong` where the context has no
  /// place for a token of output, `noRoom` where `maxSequences` are in flight now, `outOfMemory`.
  public func add(_ request: GenerationRequest) throws(InferenceError) {
    try validate(request)
    guard canAdmit(request) else {
      throw InferenceError(
        code: .noRoom,
        message: "The engine is full (\(sequences.count) of \(options.maxSequences) sequences); "
          + "try again when a sequence has ended.")
    }
    let limit = RunningSequence.tokenLimit(request, contextLength: contextLength)
    let sequence = RunningSequence(
      request: request, tokenizer: model.tokenizer, grammar: try grammar(of: request),
      tokenLimit: limit,
      table: try BlockTable(capacity: scheduler.pool.blocks(for: limit)))
    sequences[request.sequence] = sequence
    counters.peakSequences = max(counters.peakSequences, sequences.count)
    if sequence.isComplete {
      complete.append(request.sequence)
    } else {
      scheduler.add(
        Scheduler.Arrival(
          sequence: request.sequence, tokens: request.promptTokens + request.resumedTokens,
          promptTokens: request.promptTokens.count, tokenLimit: limit, priority: request.priority,
          salt: request.cacheSalt))
    }
  }

  /// Forgets a sequence and frees its place; nothing happens if it is not in flight.
  public func remove(_ sequence: UInt64) {
    guard sequences.removeValue(forKey: sequence) != nil else { return }
    scheduler.remove(sequence)
    complete.removeAll { $0 == sequence }
  }

  private func validate(_ request: GenerationRequest) throws(InferenceError) {
    let vocabulary = 0..<Int32(model.configuration.vocabularySize)
    try request.options.validate(vocabularySize: vocabulary.count)
    try check(
      (1...Speculation.maximumTokens).contains(request.speculation.tokens ?? 1),
      "speculation.tokens", "1 to \(Speculation.maximumTokens)")
    try check(sequences[request.sequence] == nil, "sequence", "one that is not in flight")
    try check(!request.promptTokens.isEmpty, "promptTokens", "at least one token")
    try check(request.promptTokens.allSatisfy(vocabulary.contains), "promptTokens", "valid ids")
    try check(request.resumedTokens.allSatisfy(vocabulary.contains), "resumedTokens", "valid ids")
    try check(
      request.resumedTokens.count <= request.options.maxTokens, "resumedTokens",
      "at most maxTokens tokens")
    guard request.promptTokens.count < contextLength,
      request.promptTokens.count + request.resumedTokens.count <= contextLength
    else {
      throw InferenceError(
        code: .promptTooLong,
        message: "The prompt has \(request.promptTokens.count) tokens where the context has "
          + "\(contextLength), one at least for output; shorten the prompt.",
        context: ["field": "promptTokens"])
    }
  }

  /// The request's grammar; throws where it cannot be used, or no text of it fits.
  private func grammar(of request: GenerationRequest) throws(InferenceError) -> Grammar? {
    guard let constraint = request.options.constraint else { return nil }
    let limit = RunningSequence.tokenLimit(request, contextLength: contextLength)
    return try constraints.grammar(
      constraint, model.tokenTrie, room: limit - request.promptTokens.count)
  }

  private func check(_ holds: Bool, _ field: String, _ rule: String) throws(InferenceError) {
    guard !holds else { return }
    throw InferenceError(
      code: .requestInvalid, message: "\(field) must be \(rule).", context: ["field": field])
  }
}
