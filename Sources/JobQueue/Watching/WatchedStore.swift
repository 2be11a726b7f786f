/// What watching needs of a store: the part of `JobStore` that follows jobs.
public protocol WatchedStore: Sendable {
  /// The job, and its committed output from a token index on.
  ///
  /// Job and chunks are of one moment: a terminal job comes with its last chunk.
  /// - Parameter maxTokens: a bound on the size of the answer; at least one chunk is returned
  ///   where there is one.
  /// - Returns: `nil` when there is no such job.
  func output(
    of id: JobID, from index: Int, maxTokens: Int
  ) async throws(JobStoreError) -> OutputPage?

  /// How far these jobs are, as far as they exist: a cheap way to find out which of many jobs have
  /// moved.
  ///
  /// - Parameter ids: at most `JobLimits.jobsPerGet`.
  func progress(of ids: [JobID]) async throws(JobStoreError) -> [JobID: JobProgress]

  /// What happens in the store from now on, here and on other machines.
  ///
  /// Signals are hints that save waiting: one may be late, lost or repeated (the listener
  /// reports `.interrupted` after an outage), so whoever uses them also looks at the store
  /// from time to time. A subscriber that does not read loses the oldest signals, and finds
  /// `.interrupted` among the others.
  func signals() -> AsyncStream<JobSignal>
}

/// How far a job is. Nothing that a watcher sees changes without a change of this.
public struct JobProgress: Hashable, Sendable {
  public var state: JobState
  public var epoch: Int64
  /// How many output tokens are committed.
  public var outputTokens: Int64

  public init(state: JobState, epoch: Int64, outputTokens: Int64) {
    self.state = state
    self.epoch = epoch
    self.outputTokens = outputTokens
  }
}

extension Job {
  /// How far the job is.
  package var progress: JobProgress {
    JobProgress(state: state, epoch: epoch, outputTokens: usage.outputTokens)
  }
}
