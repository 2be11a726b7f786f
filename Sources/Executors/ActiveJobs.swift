package import Inference
package import JobQueue

/// The jobs that this executor holds, and the output of theirs that is not committed yet.
///
/// A pure state machine between three sides that do not wait for each other: the control loop
/// (claims, lost leases), the engines' thread (tokens), and the write-back (commits). A job leaves
/// when its end is committed or its lease is lost.
package struct ActiveJobs {
  struct Entry {
    let lease: Lease
    let model: String
    let fingerprint: String
    let claimTime: ContinuousClock.Instant
    /// The sequences that it has in the model's engine at most.
    let places: Int
    /// Outputs that a job of samples has, each of which gives its place back when it ends; `nil` for a
    /// search, which keeps them all.
    let samples: Int?
    var usage: Usage
    /// The index after the last token from the engine, among those of all outputs.
    var nextIndex: Int
    /// How far the engine is with each output, as far as it has told of them.
    var outputs: [OutputProgress]
    var uncommitted: OutputChunk?
    var end: JobEnd?
    /// A write of this job is on its way.
    var isInFlight = false
    /// Orders the jobs with news: who waits longest is written first.
    var newsNumber: UInt64?

    var isEnded: Bool { end != nil }
    var hasNews: Bool { uncommitted != nil || end != nil }
  }

  /// How far the engine is with one output of a job.
  struct OutputProgress {
    /// Its tokens so far.
    var tokens: Int
    /// Why it has ended. This is committed with the job's end only: the engine tells it again where
    /// the job is taken up again.
    var finish: JobQueue.FinishReason?
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

  /// The places in a model's engine that jobs occupy.
  package func occupied(_ model: String) -> Int {
    entries.values.reduce(0) { places, entry in
      entry.model == model && !entry.isEnded ? places + entry.occupied : places
    }
  }

  func holds(_ id: JobID) -> Bool { sequences[id] != nil }

  // MARK: Claims

  /// Takes a claimed job in. Returns its sequence number.
  /// - Parameters:
  ///   - places: the sequences that it has in the engine at most.
  ///   - samples: how many outputs it has, if it is no search.
  ///   - claimTime: when it was claimed; times of its tokens count from there.
  package mutating func begin(
    _ claimed: ClaimedJob, promptTokens: Int, places: Int = 1, samples: Int? = nil,
    fingerprint: String, claimTime: ContinuousClock.Instant
  ) -> UInt64 {
    let sequence = nextSequence
    nextSequence += 1
    var usage = claimed.job.usage
    usage.promptTokens = Int64(promptTokens)
    entries[sequence] = Entry(
      lease: claimed.lease, model: claimed.job.spec.model, fingerprint: fingerprint,
      claimTime: claimTime, places: places, samples: samples, usage: usage,
      nextIndex: claimed.committedTokens.count,
      outputs: claimed.tokensByOutput.map { OutputProgress(tokens: $0.count) })
    sequences[claimed.job.id] = sequence
    return sequence
  }

  /// Takes a claimed job in only to end it.
  package mutating func conclude(
    _ claimed: ClaimedJob, fingerprint: String, end: JobEnd, claimTime: ContinuousClock.Instant
  ) {
    let sequence = begin(
      claimed, promptTokens: Int(claimed.job.usage.promptTokens), fingerprint: fingerprint,
      claimTime: claimTime)
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

  /// Notes what a step of the engine brought. Returns whether the engine need not go on with the
  /// job, though it would.
  @discardableResult
  package mutating func record(
    _ output: SequenceOutput, at now: ContinuousClock.Instant
  ) -> Bool {
    let sequence = output.sequence
    guard entries[sequence]?.isEnded == false, let before = entries[sequence]?.nextIndex else {
      return false
    }
    var isRefused = false
    do throws(JobFailure) {
      try entries[sequence]?.take(output, at: now)
    } catch {
      entries[sequence]?.end = .failed(error)
      isRefused = !output.isLast
    }
    uncommittedTokens += (entries[sequence]?.nextIndex ?? before) - before
    noteNews(of: sequence)
    return isRefused
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

  /// The most tokens of one job that are committed together: what is stored together is also read
  /// together, by those who watch. Only searches bring so many at once.
  package static let maxTokensPerWrite = 4_096

  /// What to commit next, at most one write a job at a time; first the jobs that wait longest.
  package mutating func takeWrites(limit: Int) -> [(sequence: UInt64, write: LeaseWrite)] {
    let waiting = entries.filter { $0.value.hasNews && !$0.value.isInFlight }
      .sorted { ($0.value.newsNumber ?? 0) < ($1.value.newsNumber ?? 0) }
    return waiting.prefix(limit).map { sequence, entry in
      var write = LeaseWrite(
        lease: entry.lease, chunk: entry.uncommitted, modelFingerprint: entry.fingerprint,
        usage: entry.usage, end: entry.end)
      entries[sequence]?.uncommitted = nil
      entries[sequence]?.isInFlight = true
      entries[sequence]?.newsNumber = nil
      if let chunk = entry.uncommitted, chunk.tokens.count > Self.maxTokensPerWrite {
        let end = chunk.firstIndex + Self.maxTokensPerWrite
        write.chunk = chunk.prefix(before: end)
        write.end = nil
        entries[sequence]?.uncommitted = chunk.dropping(before: end)
        entries[sequence]?.newsNumber = 0
      }
      return (sequence, write)
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
