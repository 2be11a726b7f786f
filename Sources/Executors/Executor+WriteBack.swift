import JobQueue
import Logging
import Synchronization

extension Executor {
  /// The least time from one transaction's beginning to the next one's: where tokens come faster, those
  /// of so long share one, which leaves more of the machine to the engines. A token waits 1 ms longer for
  /// it on average.
  package static let writeInterval = Duration.milliseconds(2)

  /// Commits what the engines produced, one transaction at a time: while one is on its way, the
  /// next one's tokens gather.
  func writeBack(_ loop: StepLoop) async {
    while await writeBell.wait() {
      var start = ContinuousClock.now
      while await writeOnce(loop) {
        try? await Task.sleep(until: start + Self.writeInterval, tolerance: .zero)
        start = .now
      }
    }
  }

  /// Commits what is left after the engines have stopped; gives up while the store is away.
  func flush(_ loop: StepLoop) async {
    var attempts = 3
    while attempts > 0, active.withLock({ $0.uncommittedTokens > 0 || $0.hasEnds }) {
      if await !writeOnce(loop, retries: 0) { attempts -= 1 }
    }
  }

  /// Whether the engines have to wait for the store.
  var isFull: Bool {
    active.withLock { $0.uncommittedTokens } > configuration.maxUncommittedTokens
  }

  /// Writes one batch. Returns whether there was one.
  private func writeOnce(_ loop: StepLoop, retries: Int = .max) async -> Bool {
    let batch = active.withLock { $0.takeWrites(limit: configuration.maxJobsPerWrite) }
    guard !batch.isEmpty else { return false }
    let sequences = batch.map(\.sequence)
    let writes = batch.map(\.write)
    do {
      let results = try await write(writes, loop, retries: retries)
      for (index, sequence) in sequences.enumerated() {
        settle(sequence, writes[index], results[index], loop)
      }
    } catch  where error.isPassing {
      active.withLock { active in
        for (index, sequence) in sequences.enumerated() {
          active.didPostpone(sequence, writes[index])
        }
      }
      return false
    } catch {
      logger.error("A group commit was refused", metadata: ["error": "\(error)"])
      for (index, sequence) in sequences.enumerated() {
        await writeAlone(sequence, writes[index], loop)
      }
    }
    loop.resume()
    if writes.contains(where: { $0.end != nil }) { claimBell.ring() }
    return true
  }

  /// Writes, and tries again with growing pauses for as long as the store is away. An error of the
  /// store's own may pass too, so it gets a few more tries.
  private func write(
    _ writes: [LeaseWrite], _ loop: StepLoop, retries: Int, defectRetries: Int = 3
  ) async throws(JobStoreError) -> [WriteResult] {
    var pause = Duration.milliseconds(50)
    var retriesLeft = retries
    var defectRetriesLeft = min(defectRetries, retries)
    while true {
      do {
        return try await store.write(writes)
      } catch  where error.code == .internal && defectRetriesLeft > 0 && !Task.isCancelled {
        defectRetriesLeft -= 1
        logger.error(
          "Output cannot be stored; trying again",
          metadata: ["jobs": "\(writes.count)", "error": "\(error)"])
        try? await Task.sleep(for: pause)
        pause = min(pause * 2, .seconds(2))
      } catch  where error.isPassing && retriesLeft > 0 && !Task.isCancelled {
        retriesLeft -= 1
        logger.warning(
          "Output waits for the database",
          metadata: ["jobs": "\(writes.count)", "error": "\(error)"])
        try? await Task.sleep(for: pause)
        if writeBell.isClosed { retriesLeft = min(retriesLeft, 3) }
        pause = min(pause * 2, .seconds(2))
      }
    }
  }

  /// Finds the write that a batch was refused for; the others go through. One that breaks the
  /// store's rules fails its job. Any other error is the store's, and another attempt may do better:
  /// it counts, so that a job whose output is never taken does not go round for ever.
  private func writeAlone(_ sequence: UInt64, _ write: LeaseWrite, _ loop: StepLoop) async {
    do {
      let results = try await self.write([write], loop, retries: .max, defectRetries: 1)
      settle(sequence, write, results[0], loop)
    } catch  where error.isPassing {
      active.withLock { $0.didPostpone(sequence, write) }
    } catch  where write.chunk == nil || error.code != .invalid {
      logger.error(
        "A job's output cannot be stored; this attempt is given up",
        metadata: ["job": "\(write.lease.job)", "error": "\(error)"])
      await abandon(write.lease)
      settle(sequence, write, .leaseLost, loop)
    } catch {
      let failure = JobFailure(
        code: .engine, message: "the output could not be stored: \(error.message)")
      active.withLock { $0.didRefuse(sequence, write, failure) }
      loop.remove([sequence])
      writeBell.ring()
    }
  }

  /// Gives a job up. Where that fails too, a heartbeat hands it back, as a job that nobody knows of.
  private func abandon(_ lease: Lease) async {
    do {
      try await store.abandon([lease], executor: id)
    } catch {
      logger.error(
        "A job cannot be given up; it returns to the queue after a lease's time",
        metadata: ["job": "\(lease.job)", "error": "\(error)"])
    }
  }

  private func settle(
    _ sequence: UInt64, _ write: LeaseWrite, _ result: WriteResult, _ loop: StepLoop
  ) {
    let hasLeft = active.withLock { $0.didWrite(sequence, write, result) }
    if case .failed(let failure) = write.end, result == .written {
      logger.notice(
        "A job failed",
        metadata: ["job": "\(write.lease.job)", "code": "\(failure.code.rawValue)"])
    }
    guard hasLeft, write.end == nil || result == .leaseLost else { return }
    loop.remove([sequence])
  }
}

extension JobStoreError {
  /// Whether the store is only away or full for now: no reason to give a job up.
  fileprivate var isPassing: Bool {
    switch code {
    case .unavailable, .exhausted, .cancelled: true
    case .invalid, .internal: false
    }
  }
}
