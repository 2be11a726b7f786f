public import Inference
public import JobQueue

/// A loaded model under the name that jobs ask for.
public struct ServedModel: Sendable {
  public var name: String
  public var model: LanguageModel
  /// A smaller model of the same vocabulary that drafts for it.
  public var draft: LanguageModel?
  public var options: EngineOptions

  public init(
    name: String, model: LanguageModel, draft: LanguageModel? = nil, options: EngineOptions
  ) {
    self.name = name
    self.model = model
    self.draft = draft
    self.options = options
  }

  /// The most tokens of prompt and output together that its engine will hold.
  public var contextLength: Int {
    options.contextLength ?? min(model.trainedContextLength, 4_096)
  }
}

/// The models of this process, as the services see them.
public struct ServedModels: ModelCatalog {
  public let served: [ServedModel]
  /// Per model, the most bytes of a prompt that one token can stand for.
  private let tokenBytes: [String: Int]

  public init(_ served: [ServedModel]) {
    self.served = served.sorted { $0.name < $1.name }
    tokenBytes = Dictionary(
      served.map { ($0.name, $0.model.longestTokenBytes) }, uniquingKeysWith: max)
  }

  public var models: [ModelDescription] {
    served.map { served in
      ModelDescription(
        name: served.name, fingerprint: served.model.fingerprint,
        architecture: served.model.architectureName,
        parameterCount: Int64(served.model.parameterCount),
        vocabularySize: Int32(clamping: served.model.vocabularySize),
        contextLength: Int32(clamping: served.contextLength),
        hasChatTemplate: served.model.chatTemplate != nil,
        draftFingerprint: served.draft?.fingerprint,
        slots: Int32(clamping: served.options.maxSequences))
    }
  }

  /// As many as if every token were the vocabulary's longest.
  public func leastPromptTokenCount(_ prompt: Prompt, model name: String) -> Int {
    guard let tokenBytes = tokenBytes[name] else { return 0 }
    switch prompt {
    case .text(let text): return text.utf8.count / tokenBytes
    case .tokens(let tokens): return tokens.count
    case .messages(let messages):
      // Templates trim white space, and may pass over what the system says.
      let said = messages.filter { $0.role != "system" }.reduce(0) { bytes, message in
        bytes + message.content.utf8.count { $0 > UInt8(ascii: " ") }
      }
      return said / tokenBytes
    }
  }

  public func violation(of sampling: SamplingParameters, model name: String) -> FieldViolation? {
    guard let served = served.first(where: { $0.name == name }) else { return nil }
    do {
      let options = SamplingOptions(sampling)
      try options.check(for: served.model)
      try options.checkPlaces(most: served.options.maxSequences)
      return nil
    } catch {
      return FieldViolation(field: error.context["field"] ?? "", description: error.message)
    }
  }

  public func violation(
    of sampling: SamplingParameters, promptTokens: Int, model name: String
  ) -> FieldViolation? {
    guard let served = served.first(where: { $0.name == name }) else { return nil }
    do {
      try SamplingOptions(sampling).checkRoom(
        promptTokens: promptTokens, options: served.options, model: served.model,
        draft: served.draft)
      return nil
    } catch {
      return FieldViolation(field: error.context["field"] ?? "", description: error.message)
    }
  }

  public func promptTokenCount(_ prompt: Prompt, model name: String) throws(JobFailure) -> Int {
    guard let served = served.first(where: { $0.name == name }) else {
      throw JobFailure(code: .invalidArgument, message: "model \(name) is not served here")
    }
    return try served.model.tokens(of: prompt).count
  }
}

extension LanguageModel {
  /// The tokens that a prompt becomes for this model.
  func tokens(of prompt: Prompt) throws(JobFailure) -> [Int32] {
    switch prompt {
    case .text(let text): return encodePrompt(text)
    case .tokens(let tokens): return tokens
    case .messages(let messages):
      do {
        return try encodeChat(messages.map { (role: $0.role, content: $0.content) })
      } catch {
        throw JobFailure(code: .invalidArgument, message: error.message)
      }
    }
  }
}

extension SamplingOptions {
  /// The engine's form of a job's parameters.
  init(_ parameters: SamplingParameters) {
    self.init(
      maxTokens: Int(parameters.maxTokens), minTokens: Int(parameters.minTokens ?? 0),
      temperature: parameters.temperature, topK: Int(parameters.topK),
      typicalP: parameters.typicalP ?? 1, topP: parameters.topP, minP: parameters.minP,
      repetitionPenalty: parameters.repetitionPenalty,
      presencePenalty: parameters.presencePenalty,
      frequencyPenalty: parameters.frequencyPenalty, seed: parameters.seed,
      stop: parameters.stop, stopTokens: Set(parameters.stopTokens ?? []),
      logprobs: parameters.logprobs.map(Int.init), logitBias: parameters.logitBias,
      constraint: parameters.jsonSchema.map { .jsonSchema($0) }
        ?? parameters.grammar.map { .grammar($0) },
      outputs: Int(parameters.outputs ?? 1), strategy: DecodingStrategy(parameters.strategy))
  }
}

extension DecodingStrategy {
  /// The engine's form of how a job searches.
  init(_ strategy: SamplingParameters.Strategy?) {
    switch strategy {
    case nil: self = .sampling
    case .beam(let width, let lengthPenalty, let stopsEarly):
      self = .beam(
        BeamSearchOptions(
          width: Int(width), lengthPenalty: lengthPenalty, stopsEarly: stopsEarly))
    case .contrastive(let topK, let alpha):
      self = .contrastive(ContrastiveSearchOptions(topK: Int(topK), alpha: alpha))
    }
  }
}

extension Inference.Speculation {
  /// The engine's form of what a job asks for.
  init(_ spec: GenerationSpec) {
    let method: Method =
      switch spec.speculation {
      case .off: .off
      case .draft: .draft
      case .lookup: .lookup
      case .both, .automatic: .both
      }
    self.init(method, tokens: spec.draftTokens.map(Int.init))
  }
}
