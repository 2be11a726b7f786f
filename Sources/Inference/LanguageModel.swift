public import Grammars
public import ModelFormats
import Synchronization
public import Tensors
public import Tokenizers

/// A model in memory: configuration, weights, vocabulary. Immutable, shared by any number of
/// engines.
public final class LanguageModel: Sendable {
  /// The shape of the model.
  public let configuration: ModelConfiguration
  /// Its vocabulary.
  public let tokenizer: any Tokenizer
  /// How it wants conversations written, where the file says so in a way that is known.
  public let chatTemplate: ChatTemplate?
  /// What an output is a function of, beside the request: the SHA-256 of the model file in
  /// hexadecimal, a point, and ``numericsRevision``; then how keys and values are stored, unless that
  /// is as they are computed.
  public let fingerprint: String
  /// The same for two models that have the same tokens under the same ids.
  public let vocabularyFingerprint: String
  /// The number of weights in the file.
  public let parameterCount: Int
  /// Bytes that the weights take in memory.
  public let weightBytes: Int
  /// The kernels that engines use unless told otherwise.
  public let kernelPath: KernelPath
  /// How engines store keys and values.
  public let keyValueStorage: KeyValueStorage

  /// Where the weights are.
  public let weightPlace: WeightPlace

  let constraints = ConstraintCache()
  private let lazyTokenTrie = Mutex<TokenTrie?>(nil)
  let weights: DecoderWeights

  private init(
    file: GGUFFile, configuration: ModelConfiguration, options: LoadOptions
  ) throws(InferenceError) {
    self.configuration = configuration
    kernelPath = options.kernelPath
    keyValueStorage = options.keyValueStorage
    let vocabulary = try Self.vocabulary(of: file)
    let tokenizer = try Self.tokenizer(of: vocabulary)
    guard tokenizer.vocabularySize == configuration.vocabularySize else {
      throw InferenceError(
        code: .modelUnreadable,
        message: "The vocabulary has \(tokenizer.vocabularySize) tokens where the model has "
          + "\(configuration.vocabularySize); convert the model again.")
    }
    self.tokenizer = tokenizer
    vocabularyFingerprint = vocabulary.fingerprint
    let end = vocabulary.endOfText.map { tokenizer.token($0) } ?? "</s>"
    chatTemplate = vocabulary.chatTemplate.flatMap { ChatTemplate(source: $0, endOfText: end) }
    let pool: ThreadPool
    do {
      pool = try ThreadPool(threads: options.threads ?? EngineOptions.defaultThreads)
    } catch {
      throw InferenceError(error)
    }
    let place =
      options.weightCache?.place(for: file) ?? WeightCache.Place(memory: HeapWeights())
    weights = try DecoderWeights(
      file: file, configuration: configuration, memory: place.memory, pool: pool)
    weightBytes = weights.byteCount
    fingerprint =
      "\(file.computeFingerprint()).\(Self.numericsRevision)"
      + keyValueStorage.fingerprint(layers: configuration.layers)
    parameterCount = file.summary.parameters
    do {
      try file.checkUnchanged()
    } catch {
      throw InferenceError(error)
    }
    weightPlace = WeightPlace(place, kept: options.weightCache?.finish(place))
  }

  /// Loads a GGUF file: maps it, checks every tensor against the configuration, repacks the
  /// weights. Nothing of the file is looked at afterwards.
  ///
  /// Throws `modelUnreadable`, `modelUnsupported`, `tensorInvalid`, `optionsInvalid` or `outOfMemory`; nothing that a
  /// file holds ends the process. Takes about as long as reading the file twice,
  /// and with a weight cache that has it already, hardly any time.
  public static func load(
    path: String, options: LoadOptions = LoadOptions()
  ) throws(InferenceError) -> LanguageModel {
    guard options.kernelPath.isSupported else {
      throw InferenceError(
        code: .optionsInvalid,
        message: "This machine cannot run the \(options.kernelPath.rawValue) kernels; use auto.")
    }
    let file: GGUFFile
    let configuration: ModelConfiguration
    do {
      file = try GGUFFile(path: path)
      configuration = try ModelConfiguration(file)
    } catch {
      throw InferenceError(error)
    }
    try options.keyValueStorage.check(layers: configuration.layers)
    return try LanguageModel(file: file, configuration: configuration, options: options)
  }

  /// Reads only the vocabulary of a GGUF file, which may hold no weights at all.
  ///
  /// Throws `modelUnreadable` or `modelUnsupported`.
  public static func loadTokenizer(path: String) throws(InferenceError) -> any Tokenizer {
    let file: GGUFFile
    do {
      file = try GGUFFile(path: path)
    } catch {
      throw InferenceError(error)
    }
    return try tokenizer(of: vocabulary(of: file))
  }

  /// What computing costs on this model, for holding its speed against the machine's limits.
  public var cost: ModelCost {
    let inner = weights.layers.flatMap(\.matrices)
    func sum(_ matrices: [PackedMatrix], _ value: (PackedMatrix) -> Int) -> Int {
      matrices.reduce(0) { $0 + value($1) }
    }
    func products(_ matrix: PackedMatrix) -> Int { matrix.shape.rows * matrix.shape.columns }
    let last =
      weights.layers.last.map {
        sum($0.matrices, products) - sum($0.keyAndValue.matrices, products)
      } ?? 0
    return ModelCost(
      stepBytes: sum(inner + weights.output.matrices) { $0.layout.byteCount },
      tokenMultiplyAdds: sum(inner, products) - last,
      isInt8: inner.allSatisfy { $0.type.quantizesActivations },
      logitsMultiplyAdds: sum(weights.output.matrices, products) + last,
      keyMultiplyAdds: 2 * configuration.attentionHeads * configuration.headDimension,
      layers: weights.layers.count,
      mostKeys: keyValueStorage.window.map { $0.tokens + $0.sinks })
  }

  /// The bytes of all tokens that stand for text; made when it is first asked for.
  public var tokenTrie: TokenTrie {
    lazyTokenTrie.withLock { trie in
      if let trie { return trie }
      let made = TokenTrie(
        (0..<tokenizer.vocabularySize).map { Array(tokenizer.bytes(of: Int32($0))) })
      trie = made
      return made
    }
  }

  /// The family of the model, as its file names it, such as `llama`.
  public var architectureName: String { configuration.architecture.name }

  /// The most tokens, prompt and output together, that the model was trained for.
  public var trainedContextLength: Int { configuration.contextLength }

  /// The number of tokens in the vocabulary.
  public var vocabularySize: Int { configuration.vocabularySize }

  /// The tokens of a prompt, with begin-of-text in front where the vocabulary asks for it.
  ///
  /// Control tokens written out in the text stay text.
  public func encodePrompt(_ text: String) -> [Int32] {
    beginning + tokenizer.encode(text, parsingSpecialTokens: false)
  }

  /// The tokens of a conversation, ending where the assistant's answer begins.
  ///
  /// Throws `requestInvalid` where the model has no chat template that is known.
  public func encodeChat(
    _ messages: [(role: String, content: String)]
  ) throws(InferenceError) -> [Int32] {
    guard let chatTemplate else {
      throw InferenceError(
        code: .requestInvalid,
        message: "The model has no chat template that is known here; send a prompt instead.",
        context: ["field": "messages"])
    }
    let conversation = messages.map { ChatMessage(role: $0.role, content: $0.content) }
    return beginning + tokenizer.encode(chatTemplate.segments(conversation))
  }

  private var beginning: [Int32] {
    guard tokenizer.addsBeginOfText, let begin = tokenizer.beginOfText else { return [] }
    return [begin]
  }

  private static func vocabulary(of file: GGUFFile) throws(InferenceError) -> GGUFVocabulary {
    do {
      return try GGUFVocabulary(file.metadata)
    } catch {
      throw InferenceError(error)
    }
  }

  private static func tokenizer(
    of vocabulary: GGUFVocabulary
  ) throws(InferenceError) -> any Tokenizer {
    do {
      return try makeTokenizer(
        from: TokenizerDescription(
          model: vocabulary.model, pieces: vocabulary.pieces, scores: vocabulary.scores,
          types: vocabulary.types, beginOfText: vocabulary.beginOfText,
          endOfText: vocabulary.endOfText, endOfTurn: vocabulary.endOfTurn,
          unknown: vocabulary.unknown, addsBeginOfText: vocabulary.addsBeginOfText,
          addsSpacePrefix: vocabulary.addsSpacePrefix))
    } catch {
      throw InferenceError(error)
    }
  }
}
