/// What is known of a model that is served.
public struct ModelDescription: Hashable, Sendable {
  /// The name that jobs ask for.
  public var name: String
  /// SHA-256 of the model's file, in hexadecimal.
  public var fingerprint: String
  /// The family, as the model's file names it, such as `llama`.
  public var architecture: String
  public var parameterCount: Int64
  public var vocabularySize: Int32
  /// The most tokens of prompt and output together.
  public var contextLength: Int32
  public var hasChatTemplate: Bool
  /// The fingerprint of the model that drafts for it, if one does.
  public var draftFingerprint: String?
  /// The most outputs at a time.
  public var slots: Int32

  public init(
    name: String, fingerprint: String, architecture: String, parameterCount: Int64,
    vocabularySize: Int32, contextLength: Int32, hasChatTemplate: Bool,
    draftFingerprint: String? = nil, slots: Int32 = 16
  ) {
    self.name = name
    self.fingerprint = fingerprint
    self.architecture = architecture
    self.parameterCount = parameterCount
    self.vocabularySize = vocabularySize
    self.contextLength = contextLength
    self.hasChatTemplate = hasChatTemplate
    self.draftFingerprint = draftFingerprint
    self.slots = slots
  }
}

/// The models that jobs may ask for, and what only they can tell about a prompt.
public protocol ModelCatalog: Sendable {
  /// Every model, in the order of their names.
  var models: [ModelDescription] { get }

  /// A number of tokens that the prompt becomes at least, told without tokenizing it; 0 where
  /// nothing is known.
  func leastPromptTokenCount(_ prompt: Prompt, model: String) -> Int

  /// The number of tokens that the prompt becomes for this model.
  func promptTokenCount(_ prompt: Prompt, model: String) throws(JobFailure) -> Int

  /// What only the model can tell to be wrong with parameters, its vocabulary being asked: the
  /// field's name without a path, and why.
  func violation(of sampling: SamplingParameters, model: String) -> FieldViolation?

  /// The same of what the memory for so long a prompt is asked for.
  func violation(
    of sampling: SamplingParameters, promptTokens: Int, model: String
  ) -> FieldViolation?
}

extension ModelCatalog {
  public func leastPromptTokenCount(_ prompt: Prompt, model: String) -> Int { 0 }

  public func violation(of sampling: SamplingParameters, model: String) -> FieldViolation? { nil }

  public func violation(
    of sampling: SamplingParameters, promptTokens: Int, model: String
  ) -> FieldViolation? { nil }
}
