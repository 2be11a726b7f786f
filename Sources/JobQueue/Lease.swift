public import Foundation

/// The name of a running executor; a new one for every start.
public struct ExecutorID: Hashable, Sendable, CustomStringConvertible {
  public let uuid: UUID

  public init(_ uuid: UUID = UUID()) {
    self.uuid = uuid
  }

  public init?(_ text: String) {
    guard let uuid = UUID(uuidString: text) else { return nil }
    self.uuid = uuid
  }

  public var description: String { uuid.uuidString.lowercased() }
}

/// An executor's right to write to a job.
///
/// The store honours a write only while the job is running under exactly this epoch; once the
/// lease has moved on, the old holder's writes change nothing.
public struct Lease: Hashable, Sendable {
  public var job: JobID
  public var epoch: Int64

  public init(job: JobID, epoch: Int64) {
    self.job = job
    self.epoch = epoch
  }
}

/// What an executor tells the store of itself.
public struct ExecutorDescription: Hashable, Sendable {
  public var id: ExecutorID
  /// The machine and process, for people.
  public var host: String
  public var processID: Int32
  /// When the process began, as its machine counts: tells it from a later one with the same number.
  /// `nil` where that is not known.
  public var processStart: Int64?
  public var models: [String]
  public var slots: Int32

  public init(
    id: ExecutorID, host: String, processID: Int32, processStart: Int64? = nil, models: [String],
    slots: Int32
  ) {
    self.id = id
    self.host = host
    self.processID = processID
    self.processStart = processStart
    self.models = models
    self.slots = slots
  }
}

/// An executor as the store sees it.
public struct ExecutorStatus: Hashable, Sendable {
  public var description: ExecutorDescription
  public var startTime: Timestamp
  public var heartbeatTime: Timestamp
  /// When its leases may be given to others, unless it renews them before.
  public var expireTime: Timestamp
  public var isDraining: Bool
  public var runningJobs: Int32

  public init(
    description: ExecutorDescription, startTime: Timestamp, heartbeatTime: Timestamp,
    expireTime: Timestamp, isDraining: Bool, runningJobs: Int32
  ) {
    self.description = description
    self.startTime = startTime
    self.heartbeatTime = heartbeatTime
    self.expireTime = expireTime
    self.isDraining = isDraining
    self.runningJobs = runningJobs
  }
}

/// A job as it is handed to an executor: the job, and the output that is already committed.
public struct ClaimedJob: Hashable, Sendable {
  public var job: Job
  /// The committed output tokens, from index 0; generation goes on after them.
  public var committedTokens: [Int32]
  /// Which output each of them belongs to; `nil` where all are of output 0.
  public var committedOutputs: [Int32]?

  public var lease: Lease { Lease(job: job.id, epoch: job.epoch) }

  public init(job: Job, committedTokens: [Int32], committedOutputs: [Int32]? = nil) {
    self.job = job
    self.committedTokens = committedTokens
    self.committedOutputs = committedOutputs
  }

  /// - Parameter committed: all committed output of the job.
  package init(job: Job, committed: [OutputChunk]) {
    var whole = OutputChunk(firstIndex: 0, tokens: [], pieces: [], offsetsMicroseconds: [])
    for chunk in committed { whole.append(chunk) }
    self.init(job: job, committedTokens: whole.tokens, committedOutputs: whole.outputs)
  }

  /// The committed tokens of each output, up to the last one that has any.
  public var tokensByOutput: [[Int32]] {
    guard let committedOutputs else { return committedTokens.isEmpty ? [] : [committedTokens] }
    var tokens: [[Int32]] = []
    for (token, output) in zip(committedTokens, committedOutputs)
    where JobLimits.outputNumbers.contains(output) {
      while tokens.count <= Int(output) { tokens.append([]) }
      tokens[Int(output)].append(token)
    }
    return tokens
  }
}
