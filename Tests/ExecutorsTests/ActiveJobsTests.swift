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
      jobs.begin(claimed($0), promptTokens: 1, fingerprint: "f", at: .now)
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
