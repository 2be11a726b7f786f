/// Which jobs a listing shows. Empty conditions hold for all.
public struct JobFilter: Hashable, Sendable {
  public var tenant: String?
  public var states: Set<JobState>
  public var model: String?
  /// Every one of these labels must be present with this value.
  public var labels: [String: String]
  public var createdAfter: Timestamp?
  public var createdBefore: Timestamp?

  public init(
    tenant: String? = nil, states: Set<JobState> = [], model: String? = nil,
    labels: [String: String] = [:], createdAfter: Timestamp? = nil, createdBefore: Timestamp? = nil
  ) {
    self.tenant = tenant
    self.states = states
    self.model = model
    self.labels = labels
    self.createdAfter = createdAfter
    self.createdBefore = createdBefore
  }
}

/// One page to read: at most so many jobs after the last one seen.
public struct PageRequest: Hashable, Sendable {
  public var size: Int
  public var after: JobCursor?

  public init(size: Int, after: JobCursor? = nil) {
    self.size = size
    self.after = after
  }
}

/// A place in a listing, newest first: the creation time, then the id, of the last job seen.
///
/// Jobs that arrive while a client is paging come before the cursor, so no job is shown twice
/// and none that was there at the start is missed.
public struct JobCursor: Hashable, Sendable {
  public var createTime: Timestamp
  public var id: JobID

  public init(createTime: Timestamp, id: JobID) {
    self.createTime = createTime
    self.id = id
  }
}

/// A page of jobs without prompt and output.
public struct JobPage: Hashable, Sendable {
  public var jobs: [Job]
  /// Where the next page begins; `nil` on the last.
  public var next: JobCursor?

  public init(jobs: [Job], next: JobCursor?) {
    self.jobs = jobs
    self.next = next
  }
}

/// The queue in numbers, at one moment.
///
/// Jobs that ended count only for as long as `endedWindow`: counting all that were ever kept would
/// cost more with every day. For longer times, ask the database's views.
public struct QueueStatistics: Hashable, Sendable {
  /// How long ago a job may have ended to be counted.
  public static let endedWindow = Duration.seconds(86_400)

  /// All queued and running jobs, and those of the other states that ended within the window.
  public var jobs: [JobState: Int64]
  /// When the oldest job that could run now became ready.
  public var oldestReadyTime: Timestamp?
  /// Committed output tokens of the running jobs and of those that ended within the window.
  public var outputTokens: Int64

  public init(jobs: [JobState: Int64], oldestReadyTime: Timestamp?, outputTokens: Int64) {
    self.jobs = jobs
    self.oldestReadyTime = oldestReadyTime
    self.outputTokens = outputTokens
  }
}
