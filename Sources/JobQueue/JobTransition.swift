/// The transitions of a job, as a pure state machine: each takes the job where it is allowed and
/// says so where it is not. The stores carry out exactly these; SQL states the same conditions in
/// its WHERE clauses.
extension Job {
  /// Hands a queued job to an executor under a new epoch.
  package mutating func claim(by executor: ExecutorID, at now: Timestamp) -> Bool {
    guard state == .queued, isReady(at: now) else { return false }
    state = .running
    self.executor = executor
    attempt += 1
    epoch += 1
    startTime = startTime ?? now
    return true
  }

  /// Whether a queued job may be claimed: its time has come and its deadline has not.
  package func isReady(at now: Timestamp) -> Bool {
    state == .queued && (spec.runAfter.map { $0 <= now } ?? true) && !isOverdue(at: now)
  }

  package func isOverdue(at now: Timestamp) -> Bool {
    !state.isTerminal && (spec.deadline.map { $0 <= now } ?? false)
  }

  /// Whether this lease may write to the job.
  package func isHeld(under lease: Lease) -> Bool {
    state == .running && epoch == lease.epoch && id == lease.job
  }

  /// Returns a running job to the queue as if it had not been claimed; its output stays.
  package mutating func release(_ lease: Lease) -> Bool {
    guard isHeld(under: lease) else { return false }
    state = .queued
    executor = nil
    attempt -= 1
    epoch += 1
    return true
  }

  /// Returns a job whose executor is gone, or gives it up, to the queue, or fails it after its last
  /// attempt.
  package mutating func rescue(at now: Timestamp) -> Bool {
    guard state == .running else { return false }
    executor = nil
    epoch += 1
    if attempt >= spec.maxAttempts {
      state = .failed
      failure = .attemptsExhausted(attempt)
      finishTime = now
    } else {
      state = .queued
    }
    return true
  }

  /// Ends the job as its executor says. Output is appended before.
  package mutating func finish(_ end: JobEnd, at now: Timestamp) {
    switch end {
    case .succeeded(let reason, let alternatives):
      state = .succeeded
      finishReason = reason
      alternativeFinishReasons = alternatives
    case .failed(let failure):
      state = .failed
      self.failure = failure
    }
    finishTime = now
  }

  /// Ends the job from outside: `cancelled` or `expired`. Fences its executor off.
  package mutating func revoke(as end: JobState, at now: Timestamp) -> Bool {
    guard !state.isTerminal else { return false }
    state = end
    executor = nil
    epoch += 1
    finishTime = now
    return true
  }
}

extension JobFailure {
  /// The failure of a job whose row, or whose committed output, cannot be read.
  package static let corrupt = JobFailure(
    code: .corrupt,
    message: "what the database holds of this job cannot be read, so it cannot be run; the "
      + "server's log says more; submit it again")

  /// The failure of a job whose every attempt was lost.
  package static func attemptsExhausted(_ attempts: Int32) -> JobFailure {
    JobFailure(
      code: .attemptsExhausted,
      message: "the job was given to an executor \(attempts) times and lost each time; "
        + "see the executors' logs, or submit it again with a higher max_attempts")
  }
}
