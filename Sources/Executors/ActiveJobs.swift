import Inference
import JobQueue

/// The jobs that this executor holds, and the output of theirs that is not committed yet.
///
/// A pure state machine between three sides that do not wait for each other: the control loop
/// (claims, lost leases), the engines' thread (tokens), and the write-back (commits). A job leaves
/// when its end is committed or its lease is lost.
struct ActiveJobs {
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

    var isEnded: Bool { end != nil }
    var hasNews: Bool { uncommitted != nil || end != nil }
  }

  private var entries: [UInt64: Entry] = [:]
  private var sequences: [JobID: UInt64] = [:]
  private var nextSequence: UInt64 = 1
  /// Tokens that wait to be committed, in flight or not.
  private(set) var uncommittedTokens = 0

  /// Whether some job has ended without its end being committed.
  var hasEnds: Bool { entries.values.contains(where: \.isEnded) }
  var leases: [Lease] { entries.values.map(\.lease) }

  /// Jobs that occupy a place in a model's engine.
  func occupied(_ model: String) -> Int {
    entries.values.count { $0.model == model && !$0.isEnded }
  }

  func holds(_ id: JobID) -> Bool { sequences[id] != nil }

  // MARK: Claims

  /// Takes a claimed job in. Returns its sequence number.
  mutating func begin(
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
  mutating func refuse(
    _ claimed: ClaimedJob, fingerprint: String, failure: JobFailure,
    at now: ContinuousClock.Instant
  ) {
    let sequence = begin(
      claimed, promptTokens: Int(claimed.job.usage.promptTokens), fingerprint: fingerprint, at: now)
    entries[sequence]?.end = .failed(failure)
  }

  /// Drops the jobs whose leases are not held any more. Returns their sequences.
  mutating func keepOnly(_ held: Set<Lease>) -> [UInt64] {
    let lost = entries.filter { !held.contains($0.value.lease) }.map(\.key)
    for sequence in lost { drop(sequence) }
    return lost
  }

  // MARK: Output

  /// Notes what a step of the engine brought.
  mutating func record(_ output: SequenceOutput, at now: ContinuousClock.Instant) {
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
        return
      }
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
  }

  /// Ends a job that the engine could not run.
  mutating func fail(_ sequence: UInt64, _ failure: JobFailure) {
    guard entries[sequence]?.isEnded == false else { return }
    entries[sequence]?.end = .failed(failure)
  }

  // MARK: Write-back

  /// What to commit next, at most one write a job at a time.
  mutating func takeWrites(limit: Int) -> [UInt64: LeaseWrite] {
    var writes: [UInt64: LeaseWrite] = [:]
    for (sequence, entry) in entries where entry.hasNews && !entry.isInFlight {
      guard writes.count < limit else { break }
      writes[sequence] = LeaseWrite(
        lease: entry.lease, chunk: entry.uncommitted, modelFingerprint: entry.fingerprint,
        usage: entry.usage, end: entry.end)
      entries[sequence]?.uncommitted = nil
      entries[sequence]?.isInFlight = true
    }
    return writes
  }

  /// Notes what became of a write. Returns whether the job has left.
  mutating func didWrite(_ sequence: UInt64, _ write: LeaseWrite, _ result: WriteResult) -> Bool {
    uncommittedTokens -= write.chunk?.tokens.count ?? 0
    guard entries[sequence] != nil else { return true }
    entries[sequence]?.isInFlight = false
    guard result == .leaseLost || write.end != nil else { return false }
    drop(sequence)
    return true
  }

  /// Puts a write back whose store is away, to be written with what comes after it.
  mutating func didPostpone(_ sequence: UInt64, _ write: LeaseWrite) {
    guard var entry = entries[sequence] else {
      uncommittedTokens -= write.chunk?.tokens.count ?? 0
      return
    }
    entry.isInFlight = false
    if var chunk = write.chunk {
      if let later = entry.uncommitted { chunk.append(later) }
      entry.uncommitted = chunk
    }
    entries[sequence] = entry
  }

  /// Ends a job in place of a write that the store refuses for good.
  mutating func didRefuse(_ sequence: UInt64, _ write: LeaseWrite, _ failure: JobFailure) {
    uncommittedTokens -= write.chunk?.tokens.count ?? 0
    guard var entry = entries[sequence] else { return }
    uncommittedTokens -= entry.uncommitted?.tokens.count ?? 0
    entry.uncommitted = nil
    entry.isInFlight = false
    entry.end = .failed(failure)
    entries[sequence] = entry
  }

  private mutating func drop(_ sequence: UInt64) {
    guard let entry = entries.removeValue(forKey: sequence) else { return }
    uncommittedTokens -= entry.uncommitted?.tokens.count ?? 0
    if sequences[entry.lease.job] == sequence { sequences[entry.lease.job] = nil }
  }
}
