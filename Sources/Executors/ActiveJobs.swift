package import Inference
package import JobQueue

/// The jobs that this executor holds, and the output of theirs that is not committed yet.
///
/// A pure state machine between three sides that do not wait for each other: the control loop
/// (claims, lost leases), the engines' thread (tokens), and the write-back (commits). A job leaves
/// when its end is committed or its lease is lost.
package struct ActiveJobs {
  private struct Entry {
    let lease: Lease
    let model: String
    let fingerprint: String
    let claimTime: ContinuousClock.Instant
    var usage: Usage
    /// The output index after the last token from the engine.
    var nextIndex: Int
    var uncommitted: OutputChunk?
    var end: JobEnd?
    /// A write of this job is on its way.
    var isInFlight = false
    /// Orders the jobs with news: who waits longest is written first.
    var newsNumber: UInt64?

    var isEnded: Bool { end != nil }
    var hasNews: Bool { uncommitted != nil || end != nil }
  }

  private var entries: [UInt64: Entry] = [:]
  private var sequences: [JobID: UInt64] = [:]
  private var nextSequence: UInt64 = 1
  private var nextNews: UInt64 = 1
  /// Tokens that wait to be committed, in flight or not.
  package private(set) var uncommittedTokens = 0

  /// Whether some job has ended without its end being committed.
  var hasEnds: Bool { entries.values.contains(where: \.isEnded) }
  package var leases: [Lease] { entries.values.map(\.lease) }

  package init() {}

  /// Jobs that occupy a place in a model's engine.
  func occupied(_ model: String) -> Int {
    entries.values.count { $0.model == model && !$0.isEnded }
  }

  func holds(_ id: JobID) -> Bool { sequences[id] != nil }

  // MARK: Claims

  /// Takes a claimed job in. Returns its sequence number.
  package mutating func begin(
    _ claimed: ClaimedJob, promptTokens: Int, fingerprint: String, at now: ContinuousClock.Instant
  ) -> UInt64 {
    let sequence = nextSequence
    nextSequence += 1
    var usage = claimed.job.usage
    usage.promptTokens = Int64(promptTokens)
    entries[sequence] = Entry(
      lease: claimed.lease, model: claimed.job.spec.model, fingerprint: fingerprint,
      claimTime: now, usage: usage, nextIndex: claimed.committedTokens.count)
    sequences[claimed.job.id] = sequence
    return sequence
  }

  /// Takes a claimed job in only to end it.
  package mutating func conclude(
    _ claimed: ClaimedJob, fingerprint: String, end: JobEnd, at now: ContinuousClock.Instant
  ) {
    let sequence = begin(
      claimed, promptTokens: Int(claimed.job.usage.promptTokens), fingerprint: fingerprint, at: now)
    entries[sequence]?.end = end
    noteNews(of: sequence)
  }

  /// Drops the jobs whose leases were lost. Returns their sequences.
  package mutating func lose(_ leases: Set<Lease>) -> [UInt64] {
    let lost = entries.filter { leases.contains($0.value.lease) }.map(\.key)
    for sequence in lost { drop(sequence) }
    return lost
  }

  // MARK: Output

  /// Notes what a step of the engine brought.
  package mutating func record(_ output: SequenceOutput, at now: ContinuousClock.Instant) {
    guard var entry = entries[output.sequence], !entry.isEnded else { return }
    if !output.tokens.isEmpty {
      let offset = entry.claimTime.duration(to: now).microseconds
      let chunk = OutputChunk(
        firstIndex: output.firstIndex, tokens: output.tokens.map(\.token),
        pieces: output.tokens.map(\.text),
        offsetsMicroseconds: Array(repeating: offset, count: output.tokens.count),
        logprobs: output.tokens.first?.logprob == nil ? nil : output.tokens.map(TokenLogprobs.init))
      guard chunk.firstIndex == entry.nextIndex else {
        entry.end = .failed(
          JobFailure(code: .engine, message: "the engine skipped or repeated output tokens"))
        entries[output.sequence] = entry
        noteNews(of: output.sequence)
        return
      }
      // A job taken up again finds its own prefix; what counts is how its first token came about.
      if chunk.firstIndex == 0 {
        entry.usage.cachedPromptTokens = Int64(output.cachedPromptTokens)
      }
      entry.usage.countRound(drafted: output.draftedTokens, accepted: output.acceptedTokens)
      entry.nextIndex = chunk.endIndex
      uncommittedTokens += chunk.tokens.count
      if entry.uncommitted == nil {
        entry.uncommitted = chunk
      } else {
        entry.uncommitted?.append(chunk)
      }
    }
    if let failure = output.failure {
      entry.end = .failed(JobFailure(failure))
    } else if let finish = output.finish {
      entry.end = .succeeded(JobQueue.FinishReason(finish))
    }
    entries[output.sequence] = entry
    noteNews(of: output.sequence)
  }

  /// Ends a job that the engine could not run.
  package mutating func fail(_ sequence: UInt64, _ failure: JobFailure) {
    guard entries[sequence]?.isEnded == false else { return }
    entries[sequence]?.end = .failed(failure)
    noteNews(of: sequence)
  }

  private mutating func noteNews(of sequence: UInt64) {
    guard entries[sequence]?.hasNews == true, entries[sequence]?.newsNumber == nil else { return }
    entries[sequence]?.newsNumber = nextNews
    nextNews += 1
  }

  // MARK: Write-back

  /// What to commit next, at most one write a job at a time; first the jobs that wait longest.
  package mutating func takeWrites(limit: Int) -> [(sequence: UInt64, write: LeaseWrite)] {
    let waiting = entries.filter { $0.value.hasNews && !$0.value.isInFlight }
      .sorted { ($0.value.newsNumber ?? 0) < ($1.value.newsNumber ?? 0) }
    return waiting.prefix(limit).map { sequence, entry in
      entries[sequence]?.uncommitted = nil
      entries[sequence]?.isInFlight = true
      entries[sequence]?.newsNumber = nil
      return (
        sequence,
        LeaseWrite(
          lease: entry.lease, chunk: entry.uncommitted, modelFingerprint: entry.fingerprint,
          usage: entry.usage, end: entry.end)
      )
    }
  }

  /// Notes what became of a write. Returns whether the job has left.
  package mutating func didWrite(_ sequence: UInt64, _ write: LeaseWrite, _ result: WriteResult)
    -> Bool
  {
    uncommittedTokens -= write.chunk?.tokens.count ?? 0
    guard entries[sequence] != nil else { return true }
    entries[sequence]?.isInFlight = false
    guard result == .leaseLost || write.end != nil else { return false }
    drop(sequence)
    return true
  }

  /// Puts a write back whose store is away, to be written with what comes after it.
  package mutating func didPostpone(_ sequence: UInt64, _ write: LeaseWrite) {
    guard var entry = entries[sequence] else {
      uncommittedTokens -= write.chunk?.tokens.count ?? 0
      return
    }
    entry.isInFlight = false
    entry.newsNumber = 0
    if var chunk = write.chunk {
      if let later = entry.uncommitted { chunk.append(later) }
      entry.uncommitted = chunk
    }
    entries[sequence] = entry
  }

  /// Ends a job in place of a write that the store refuses for good.
  package mutating func didRefuse(_ sequence: UInt64, _ write: LeaseWrite, _ failure: JobFailure) {
    uncommittedTokens -= write.chunk?.tokens.count ?? 0
    guard var entry = entries[sequence] else { return }
    uncommittedTokens -= entry.uncommitted?.tokens.count ?? 0
    entry.uncommitted = nil
    entry.isInFlight = false
    entry.end = .failed(failure)
    entries[sequence] = entry
    noteNews(of: sequence)
  }

  private mutating func drop(_ sequence: UInt64) {
    guard let entry = entries.removeValue(forKey: sequence) else { return }
    uncommittedTokens -= entry.uncommitted?.tokens.count ?? 0
    if sequences[entry.lease.job] == sequence { sequences[entry.lease.job] = nil }
  }
}
