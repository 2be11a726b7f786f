/// What a client asks for: a model, a prompt, and how to sample.
///
/// A spec never changes once its job is stored. The seed is always present: one that the client
/// left out is drawn at submission, so that the stored spec is enough to repeat the output.
public struct GenerationSpec: Hashable, Codable, Sendable {
  /// The name under which the model is served.
  public var model: String
  /// The input. Always there when a job is submitted, claimed, or read by itself with
  /// `JobStore.job`; `nil` in all other answers, which would be as large as their prompts.
  public var prompt: Prompt?
  public var sampling: SamplingParameters
  public var speculation: Speculation
  /// Tokens to draft at a time; `nil` for as many as pay.
  public var draftTokens: Int32?
  /// Jobs of a higher priority are claimed first.
  public var priority: Int32
  /// The job is not claimed before this time; `nil` means at once.
  public var runAfter: Timestamp?
  /// The job expires, queued or running, when it has not ended by this time.
  public var deadline: Timestamp?
  /// How often the job may be claimed before a lost or failed attempt fails it for good.
  public var maxAttempts: Int32
  /// The client's own marks, for listing and for reports.
  public var labels: [String: String]

  public init(
    model: String, prompt: Prompt?, sampling: SamplingParameters,
    speculation: Speculation = .automatic, draftTokens: Int32? = nil, priority: Int32 = 0,
    runAfter: Timestamp? = nil,
    deadline: Timestamp? = nil, maxAttempts: Int32 = JobLimits.defaultMaxAttempts,
    labels: [String: String] = [:]
  ) {
    self.model = model
    self.prompt = prompt
    self.sampling = sampling
    self.speculation = speculation
    self.draftTokens = draftTokens
    self.priority = priority
    self.runAfter = runAfter
    self.deadline = deadline
    self.maxAttempts = maxAttempts
    self.labels = labels
  }
}

/// The input of a generation.
public enum Prompt: Hashable, Codable, Sendable {
  /// Plain text, tokenized by the model's vocabulary (begin-of-text is added where it says so).
  case text(String)
  /// Tokens as they are; nothing is added.
  case tokens([Int32])
  /// A conversation, rendered with the model's chat template.
  case messages([ChatMessage])
}

/// One turn of a conversation.
public struct ChatMessage: Hashable, Codable, Sendable {
  public var role: String
  public var content: String

  public init(role: String, content: String) {
    self.role = role
    self.content = content
  }
}

/// Who drafts tokens ahead. The output is the same whoever does.
public enum Speculation: String, Hashable, Codable, Sendable, CaseIterable {
  /// The engine decides.
  case automatic
  /// Nobody.
  case off
  /// The model's draft.
  case draft
  /// The text itself.
  case lookup
  /// The text where it can, else the draft.
  case both
}
