import Executors
import Inference
import JobQueue
import Testing

@Suite("Active jobs")
struct ActiveJobsTests {
  private static func claimed(_ index: Int) -> ClaimedJob {
    var generator = SystemRandomNumberGenerator()
    let id = JobID.make(at: .now, using: &generator)
    return ClaimedJob(
      job: Job(
        id: id, tenant: "t", spec: Scene.spec(index), state: .running, attempt: 1, epoch: 1,
        createTime: .now),
      committedTokens: [])
  }

  /// Jobs that are being run, and their sequence numbers in the order of their claims.
  private static func make(_ count: Int) -> (jobs: ActiveJobs, sequences: [UInt64]) {
    var jobs = ActiveJobs()
    let sequences = (0..<count).map {
      jobs.begin(claimed($0), promptTokens: 1, fingerprint: "f", claimTime: .now)
    }
    return (jobs, sequences)
  }

  private static func output(_ sequence: UInt64, _ index: Int) -> SequenceOutput {
    SequenceOutput(
      sequence: sequence, firstIndex: index, tokens: [GeneratedToken(token: 7, text: "x")])
  }

  @Test("writes first what waits longest, and nobody twice before all others")
  func order() {
    var (jobs, sequences) = Self.make(100)
    let shuffled = sequences.shuffled()
    for sequence in shuffled { jobs.record(Self.output(sequence, 0), at: .now) }
    var written: [UInt64] = []
    for round in 0..<10 {
      let batch = jobs.takeWrites(limit: 10)
      written += batch.map(\.sequence)
      for (sequence, write) in batch {
        let hasLeft = jobs.didWrite(sequence, write, .written)
        #expect(!hasLeft)
        // More output at once; it goes behind those that wait.
        jobs.record(Self.output(sequence, 1), at: .now)
      }
      #expect(written.count == (round + 1) * 10)
    }
    #expect(written == shuffled)
    let rest = jobs.takeWrites(limit: 100)
    #expect(rest.map(\.sequence) == shuffled)
  }

  @Test("a write that is put off goes before what came after it, in one piece with it")
  func postponed() throws {
    var (jobs, sequences) = Self.make(2)
    jobs.record(Self.output(sequences[0], 0), at: .now)
    let first = try #require(jobs.takeWrites(limit: 1).first)
    jobs.record(Self.output(sequences[1], 0), at: .now)
    jobs.record(Self.output(sequences[0], 1), at: .now)
    #expect(jobs.uncommittedTokens == 3)
    jobs.didPostpone(first.sequence, first.write)
    let next = try #require(jobs.takeWrites(limit: 1).first)
    #expect(next.sequence == sequences[0])
    #expect(next.write.chunk?.tokens.count == 2)
    #expect(next.write.chunk?.firstIndex == 0)
  }

  @Test("loses exactly the leases that were lost, with their uncommitted tokens")
  func lose() throws {
    var (jobs, sequences) = Self.make(3)
    for sequence in sequences { jobs.record(Self.output(sequence, 0), at: .now) }
    let writes = jobs.takeWrites(limit: 1)
    let lease = try #require(writes.first).write.lease
    let lost = jobs.lose([lease])
    #expect(lost == [sequences[0]])
    // The write that is on its way still counts until it is answered.
    #expect(jobs.uncommittedTokens == 3)
    let hasLeft = jobs.didWrite(sequences[0], writes[0].write, .leaseLost)
    #expect(hasLeft)
    #expect(jobs.uncommittedTokens == 2)
    #expect(Set(jobs.leases.map(\.job)).count == 2)
  }

  private static func output(
    _ sequence: UInt64, _ output: Int, _ index: Int, finish: Inference.FinishReason? = nil,
    isLast: Bool = false
  ) -> SequenceOutput {
    var made = Self.output(sequence, index)
    (made.output, made.finish, made.isLast) = (output, finish, isLast)
    return made
  }

  @Test("puts the tokens of several outputs into one sequence, and ends with the last of them")
  func severalOutputs() throws {
    var (jobs, sequences) = Self.make(1)
    let sequence = sequences[0]
    for output in [0, 2, 1] { jobs.record(Self.output(sequence, output, 0), at: .now) }
    jobs.record(Self.output(sequence, 1, 1, finish: .stop), at: .now)
    let first = try #require(jobs.takeWrites(limit: 1).first)
    #expect(first.write.chunk?.firstIndex == 0)
    #expect(first.write.chunk?.outputs == [0, 2, 1, 1])
    #expect(first.write.end == nil)
    var hasLeft = jobs.didWrite(sequence, first.write, .written)
    #expect(!hasLeft)
    jobs.record(Self.output(sequence, 2, 1, finish: .stopString), at: .now)
    jobs.record(Self.output(sequence, 0, 1, finish: .length, isLast: true), at: .now)
    let second = try #require(jobs.takeWrites(limit: 1).first)
    #expect(second.write.chunk?.firstIndex == 4)
    #expect(second.write.chunk?.outputs == [2, 0])
    #expect(second.write.end == .succeeded(.length, alternatives: [.stop, .stopString]))
    hasLeft = jobs.didWrite(sequence, second.write, .written)
    #expect(hasLeft)
  }

  @Test("goes on with several outputs where they stopped, also with one that had ended")
  func resumedOutputs() throws {
    var jobs = ActiveJobs()
    var claimed = Self.claimed(0)
    (claimed.committedTokens, claimed.committedOutputs) = ([7, 7, 7], [0, 1, 1])
    let sequence = jobs.begin(
      claimed, promptTokens: 1, places: 2, fingerprint: "f", claimTime: .now)
    var ended = Self.output(sequence, 1, 2, finish: .stop)
    ended.tokens = []
    jobs.record(ended, at: .now)
    jobs.record(Self.output(sequence, 0, 1, finish: .length, isLast: true), at: .now)
    let write = try #require(jobs.takeWrites(limit: 1).first).write
    #expect(write.chunk?.firstIndex == 3)
    #expect(write.chunk?.outputs == nil)
    #expect(write.end == .succeeded(.length, alternatives: [.stop]))
  }

  @Test("fails a job whose engine repeats a token of one output")
  func repeatedToken() throws {
    var (jobs, sequences) = Self.make(1)
    for index in [0, 0] { jobs.record(Self.output(sequences[0], 1, index), at: .now) }
    let write = try #require(jobs.takeWrites(limit: 1).first).write
    #expect(write.chunk?.tokens.count == 1)
    guard case .failed(let failure) = write.end else {
      Issue.record("the job goes on")
      return
    }
    #expect(failure.code == .engine)
  }

  @Test("counts the places that jobs have in the engine, until they end")
  func places() {
    var jobs = ActiveJobs()
    let sequences = [1, 3, 4].enumerated().map { index, places in
      jobs.begin(
        Self.claimed(index), promptTokens: 1, places: places, fingerprint: "f", claimTime: .now)
    }
    #expect(jobs.occupied("tiny") == 8)
    #expect(jobs.occupied("other") == 0)
    jobs.record(Self.output(sequences[1], 0, 0, finish: .stop), at: .now)
    #expect(jobs.occupied("tiny") == 8)
    jobs.record(Self.output(sequences[1], 1, 0, finish: .stop, isLast: true), at: .now)
    #expect(jobs.occupied("tiny") == 5)
  }

  @Test("notes what was cached of the prompt with the first token, and leaves it at that")
  func cachedPromptTokens() throws {
    var (jobs, sequences) = Self.make(1)
    for (index, cached) in [32, 64].enumerated() {
      var output = Self.output(sequences[0], index)
      output.cachedPromptTokens = cached
      jobs.record(output, at: .now)
    }
    #expect(jobs.takeWrites(limit: 1).first?.write.usage.cachedPromptTokens == 32)
  }
}
