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
  /// What is in flight, by the caller's names.
  var requests: [UInt64: RunningRequest] = [:]
  /// The sequences that work on it, by names of the engine's own.
  var sequences: [UInt64: RunningSequence] = [:]
  /// Resumed sequences that were complete when they came, to be reported by the next step.
  var complete: [UInt64] = []
  private var names: UInt64 = 0
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
      limits: options.limits(model),
      pool: BlockPool(
        count: resolved.cacheBlocks, blockTokens: options.kvBlockTokens,
        cachesPrefixes: options.sharesPrefixes(model)))
    do {
      let compute = try Compute(path: resolved.kernelPath)
      let pool = try ThreadPool(threads: resolved.threads)
      pass = try DecoderPass(
        weights: model.weights, configuration: model.configuration, compute: compute, pool: pool,
        cache: cache, window: model.keyValueStorage.window, contextLength: contextLength,
        maxTokens: options.maxTokensPerStep, maxLogitRows: options.maxSequences + Self.maximumDrafts
      )
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
  /// the machine's other threads, by a niceness of 0 to 19. It is named as theirs are. An engine's
  /// threads do not sleep while there is work, so that others, such as those that pass its tokens on,
  /// would have to wait for them. It cannot be taken back: only a privileged thread may come forward
  /// again.
  public static func giveWay(niceness: Int) {
    ThreadPool.giveWay(niceness: niceness)
  }

  /// Compute threads, the calling one included.
  public var threads: Int { pass.pool.threads }

  /// Places for sequences that are taken, by those that wait for room in the cache too.
  public private(set) var activeSequences = 0

  /// Whether a step would do anything.
  public var hasWork: Bool { !requests.isEmpty }

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

  /// Whether a request that is valid would be taken in now: whether it has no more sequences than
  /// there are places free. The cache need not have room for them.
  public func canAdmit(_ request: GenerationRequest) -> Bool {
    activeSequences + min(request.options.places, options.maxSequences) <= options.maxSequences
      && requests[request.sequence] == nil
  }

  /// Takes in a request. It has its turn in a step as soon as the cache has room for the beginning
  /// of it, after those of a higher priority and older ones of the same.
  ///
  /// Throws `requestInvalid` for a field out of range, `promptTooLong` where the context has no
  /// place for a token of output, `noRoom` where too many sequences are in flight now, `outOfMemory`.
  public func add(_ request: GenerationRequest) throws(InferenceError) {
    try validate(request)
    guard canAdmit(request) else {
      throw InferenceError(
        code: .noRoom,
        message: "The engine is full (\(activeSequences) of \(options.maxSequences) sequences); "
          + "try again when a sequence has ended.")
    }
    let running = try RunningRequest(
      request, contextLength: contextLength, places: options.maxSequences,
      grammar: try grammar(of: request), width: model.configuration.width)
    try request.options.checkRoom(
      promptTokens: request.promptTokens.count, options: options, model: model, draft: draft?.model)
    try running.reserveTables(blocks: scheduler.pool.blocks(for: running.tokenLimit))
    requests[request.sequence] = running
    activeSequences += running.places
    counters.peakSequences = max(counters.peakSequences, activeSequences)
    for output in running.chooseBeginning() { begin(output, of: running) }
  }

  private func begin(_ output: Int, of running: RunningRequest) {
    let sequence = RunningSequence(
      owner: running, output: output, tokenizer: model.tokenizer, table: running.takeTable())
    let name = keep(sequence)
    running.beam?.begin(name)
    guard !sequence.isComplete else {
      complete.append(name)
      return
    }
    let request = running.request
    scheduler.add(
      Scheduler.Arrival(
        sequence: name, tokens: request.promptTokens + running.resumed(output: output),
        promptTokens: request.promptTokens.count, tokenLimit: running.tokenLimit,
        priority: request.priority, salt: request.cacheSalt,
        computesAll: running.contrastive != nil))
  }

  /// Gives a sequence a name.
  func keep(_ sequence: RunningSequence) -> UInt64 {
    names += 1
    sequences[names] = sequence
    sequence.owner.sequences.append(names)
    return names
  }

  /// Forgets one sequence of a request.
  func drop(_ name: UInt64) {
    guard let sequence = sequences.removeValue(forKey: name) else { return }
    sequence.owner.didDrop(name, sequence.table)
    scheduler.remove(name)
    complete.removeAll { $0 == name }
  }

  /// Forgets a request and frees its places; nothing happens if it is not in flight.
  public func remove(_ sequence: UInt64) {
    guard let running = requests.removeValue(forKey: sequence) else { return }
    for name in running.sequences { drop(name) }
    activeSequences -= running.places
  }

  /// Takes note of an output's end, if it is one, or of the end of all of them; the sequence that wrote
  /// it is dropped already. Its place goes to an output that waits for one, or comes free.
  func end(_ output: inout SequenceOutput, of owner: RunningRequest) {
    if output.finish != nil {
      activeSequences -= owner.places
      owner.openOutputs -= 1
      activeSequences += owner.places
      if !owner.isSearch, output.failure == nil, let next = owner.takeWaiting() {
        begin(next, of: owner)
      }
    }
    guard output.failure != nil || owner.openOutputs == 0 else { return }
    output.isLast = true
    remove(owner.request.sequence)
  }

  private func validate(_ request: GenerationRequest) throws(InferenceError) {
    let vocabulary = 0..<Int32(model.configuration.vocabularySize)
    try request.options.validate(vocabularySize: vocabulary.count)
    try check(
      (1...Speculation.maximumTokens).contains(request.speculation.tokens ?? 1),
      "speculation.tokens", "1 to \(Speculation.maximumTokens)")
    try check(requests[request.sequence] == nil, "sequence", "one that is not in flight")
    try request.options.checkPlaces(most: options.maxSequences)
    try check(!request.promptTokens.isEmpty, "promptTokens", "at least one token")
    try check(request.promptTokens.allSatisfy(vocabulary.contains), "promptTokens", "valid ids")
    try check(request.forcedTokens.allSatisfy(vocabulary.contains), "forcedTokens", "valid ids")
    try check(
      request.forcedTokens.isEmpty
        || request.options.strategy == .sampling && request.options.constraint == nil,
      "forcedTokens", "left out in searches and where the text has a grammar")
    let resumed = request.resumedOutputs
    try check(resumed.joined().allSatisfy(vocabulary.contains), "resumedTokens", "valid ids")
    try check(
      resumed.count <= request.options.outputs, "resumedOutputs", "at most as many as outputs")
    let longest = resumed.map(\.count).max() ?? 0
    try check(
      longest <= request.options.maxTokens, "resumedTokens", "at most maxTokens tokens")
    // What began under a larger context may have reached the end of this one already.
    let mayBeComplete = request.isResumed && request.options.strategy == .sampling
    guard request.promptTokens.count < contextLength || mayBeComplete else {
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
    // What is taken up again had room for it when it began.
    let room = request.isResumed ? Int.max : contextLength - request.promptTokens.count
    return try model.grammar(constraint, room: min(request.options.maxTokens, room))
  }

  private func check(_ holds: Bool, _ field: String, _ rule: String) throws(InferenceError) {
    guard !holds else { return }
    throw InferenceError(
      code: .requestInvalid, message: "\(field) must be \(rule).", context: ["field": field])
  }
}
