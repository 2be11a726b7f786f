/// The bounds on one job. Everything a client sends is checked against these at submission.
public enum JobLimits {
  public static let defaultMaxTokens: Int32 = 256
  public static let defaultMaxAttempts: Int32 = 10
  public static let defaultBeamWidth: Int32 = 4
  public static let defaultLengthPenalty: Float = 1
  public static let defaultContrastiveTopK: Int32 = 4
  public static let defaultContrastiveAlpha: Float = 0.6

  public static let maxTokens: Int32 = 1_000_000
  public static let maxAttempts: Int32 = 100
  public static let promptBytes = 2_000_000
  public static let promptTokens = 1_000_000
  public static let messages = 1_000
  public static let stopStrings = 16
  public static let stopStringBytes = 256
  public static let logprobs: Int32 = 20
  public static let outputs: Int32 = 64
  /// What outputs of a job are called.
  public static let outputNumbers = 0..<outputs
  /// The most tokens of all outputs of a job together.
  public static let outputTokens = Int(maxTokens)
  public static let beamWidth: ClosedRange<Int32> = 2...64
  public static let lengthPenalty: ClosedRange<Float> = -10...10
  public static let contrastiveTopK: ClosedRange<Int32> = 2...64
  public static let stopTokens = 16
  public static let constraintBytes = 65_536
  public static let draftTokens: Int32 = 16
  public static let logitBiases = 1_024
  public static let labels = 64
  public static let labelKeyBytes = 63
  public static let labelValueBytes = 255
  public static let requestIDBytes = 128
  public static let tenantBytes = 128
  public static let modelNameBytes = 255
  public static let priority: ClosedRange<Int32> = -1_000...1_000
  /// How many jobs may wait, unless the store is told otherwise.
  public static let defaultQueuedJobs = 1_000_000
  public static let jobsPerSubmission = 1_000
  public static let jobsPerGet = 1_000
  public static let pageSize = 1_000
  public static let defaultPageSize = 50
}
