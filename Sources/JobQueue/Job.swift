/// One generation, from submission to its end, as the store keeps it.
public struct Job: Hashable, Sendable {
  public var id: JobID
  public var tenant: String
  public var requestID: String?
  public var spec: GenerationSpec
  public var state: JobState
  /// How many times the job was claimed, not counting claims that were handed back.
  public var attempt: Int32
  /// Raised by every claim and by every end that comes from outside; fences an executor's writes.
  public var epoch: Int64
  /// The executor that holds the lease, while the job is running.
  public var executor: ExecutorID?
  /// The model the output comes from; set with the first tokens.
  public var modelFingerprint: String?
  public var usage: Usage
  public var finishReason: FinishReason?
  /// Why the outputs after the first came to their ends, in their order.
  public var alternativeFinishReasons: [FinishReason]
  public var failure: JobFailure?
  public var createTime: Timestamp
  public var startTime: Timestamp?
  public var firstTokenTime: Timestamp?
  public var finishTime: Timestamp?

  public init(
    id: JobID, tenant: String, requestID: String? = nil, spec: GenerationSpec, state: JobState,
    attempt: Int32 = 0, epoch: Int64 = 0, executor: ExecutorID? = nil,
    modelFingerprint: String? = nil, usage: Usage = Usage(), finishReason: FinishReason? = nil,
    alternativeFinishReasons: [FinishReason] = [], failure: JobFailure? = nil,
    createTime: Timestamp, startTime: Timestamp? = nil, firstTokenTime: Timestamp? = nil,
    finishTime: Timestamp? = nil
  ) {
    self.id = id
    self.tenant = tenant
    self.requestID = requestID
    self.spec = spec
    self.state = state
    self.attempt = attempt
    self.epoch = epoch
    self.executor = executor
    self.modelFingerprint = modelFingerprint
    self.usage = usage
    self.finishReason = finishReason
    self.alternativeFinishReasons = alternativeFinishReasons
    self.failure = failure
    self.createTime = createTime
    self.startTime = startTime
    self.firstTokenTime = firstTokenTime
    self.finishTime = finishTime
  }
}

extension Job {
  /// The job as listings and events show it: its prompt left out.
  package var withoutPrompt: Job {
    var job = self
    job.spec.prompt = nil
    return job
  }
}

/// Where a job is on its way.
///
///     queued ──claim──▶ running ──finish──▶ succeeded
///       ▲                 │ │ └───fail────▶ failed
///       └─release, rescue─┘ │
///     queued or running ────┴──cancel─────▶ cancelled
///                             deadline ───▶ expired
public enum JobState: String, CaseIterable, Hashable, Codable, Sendable {
  case queued, running, succeeded, failed, cancelled, expired

  /// Whether nothing about the job will ever change again.
  public var isTerminal: Bool {
    switch self {
    case .queued, .running: false
    case .succeeded, .failed, .cancelled, .expired: true
    }
  }
}

/// Why a generation came to its natural end.
public enum FinishReason: String, CaseIterable, Hashable, Codable, Sendable {
  /// The model chose an end-of-generation token.
  case stop
  /// A stop string appeared; the text ends before it.
  case stopString = "stop_string"
  /// The limit of output tokens, or the model's context, was reached.
  case length
}

/// Counted tokens of a job, exact and durable: what a bill is made of.
public struct Usage: Hashable, Codable, Sendable {
  public var promptTokens: Int64
  /// Prompt tokens whose keys and values were found in a cache.
  public var cachedPromptTokens: Int64
  /// Those of all outputs.
  public var outputTokens: Int64
  /// Output tokens proposed by speculation, and those of them that were accepted.
  public var draftedTokens: Int64
  public var acceptedTokens: Int64
  /// Steps in which tokens were proposed.
  public var draftRounds: Int64
  /// In how many of these the first token proposed was accepted, in how many the second, and so on.
  public var acceptedByPosition: [Int64]

  public init(
    promptTokens: Int64 = 0, cachedPromptTokens: Int64 = 0, outputTokens: Int64 = 0,
    draftedTokens: Int64 = 0, acceptedTokens: Int64 = 0, draftRounds: Int64 = 0,
    acceptedByPosition: [Int64] = []
  ) {
    self.promptTokens = promptTokens
    self.cachedPromptTokens = cachedPromptTokens
    self.outputTokens = outputTokens
    self.draftedTokens = draftedTokens
    self.acceptedTokens = acceptedTokens
    self.draftRounds = draftRounds
    self.acceptedByPosition = acceptedByPosition
  }

  /// Adds a step in which tokens were proposed and the first `accepted` of them accepted.
  public mutating func countRound(drafted: Int, accepted: Int) {
    guard drafted > 0 else { return }
    draftedTokens += Int64(drafted)
    acceptedTokens += Int64(accepted)
    draftRounds += 1
    while acceptedByPosition.count < accepted { acceptedByPosition.append(0) }
    for position in 0..<accepted { acceptedByPosition[position] += 1 }
  }
}

/// Why a job failed, in words for its owner.
public struct JobFailure: Hashable, Codable, Sendable, Error {
  /// What kind of failure; each has its own gRPC status at the edge.
  public enum Code: String, CaseIterable, Hashable, Codable, Sendable {
    /// The prompt or a parameter cannot be run by this model.
    case invalidArgument = "invalid_argument"
    /// The model's file changed while the job was half done.
    case modelChanged = "model_changed"
    /// Every attempt was lost or failed.
    case attemptsExhausted = "attempts_exhausted"
    /// The engine failed on this job.
    case engine
    /// What is stored of the job cannot be read.
    case corrupt
  }

  public var code: Code
  public var message: String

  public init(code: Code, message: String) {
    self.code = code
    self.message = message
  }
}
