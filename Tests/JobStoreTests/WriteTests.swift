import Foundation
import JobQueue
import Testing

@Suite(.serialized) struct WriteTests {
  @Test("chunks, usage and end are stored together", arguments: StoreKind.allCases)
  func write(kind: StoreKind) async throws {
    try await withStore(kind) { test in
      let (executor, lease) = try await test.running()
      test.clock.advance(by: .seconds(1))
      let firstTime = test.clock.now
      #expect(try await test.write(lease, from: 0, [1, 2]) == .written)
      test.clock.advance(by: .seconds(1))
      #expect(try await test.write(lease, from: 2, [3], end: .succeeded(.length)) == .written)
      let page = try await test.output(lease.job)
      #expect(page.job.state == .succeeded)
      #expect(page.job.finishReason == .length)
      #expect(page.job.firstTokenTime == firstTime)
      #expect(page.job.finishTime == test.clock.now)
      #expect(page.job.modelFingerprint == "fingerprint")
      #expect(page.job.executor == executor)
      #expect(
        page.job.usage
          == Usage(
            promptTokens: 4, outputTokens: 3, draftedTokens: 2, acceptedTokens: 1, draftRounds: 1,
            acceptedByPosition: [1]))
      #expect(
        page.chunks
          == [StoreUnderTest.chunk(from: 0, [1, 2]), StoreUnderTest.chunk(from: 2, [3])])
    }
  }

  @Test("log-probabilities and odd text survive", arguments: StoreKind.allCases)
  func content(kind: StoreKind) async throws {
    try await withStore(kind) { test in
      let (_, lease) = try await test.running()
      var write = StoreUnderTest.write(lease)
      write.chunk = OutputChunk(
        firstIndex: 0, tokens: [.min, 0, .max], pieces: ["", "héllo \u{1F30A}{,\"}", "NULL"],
        offsetsMicroseconds: [0, 12, .max],
        logprobs: [
          TokenLogprobs(logprob: -0.125), TokenLogprobs(logprob: -.infinity),
          TokenLogprobs(
            logprob: -3.5,
            top: [.init(token: 4, logprob: -0.1), .init(token: 5, logprob: -2)]),
        ])
      let chunk = try #require(write.chunk)
      #expect(try await test.store.write([write]) == [.written])
      write.chunk = OutputChunk(
        firstIndex: 3, tokens: [0], pieces: ["a\0b"], offsetsMicroseconds: [1],
        logprobs: [TokenLogprobs(logprob: -1)])
      #expect(try await test.store.write([write]) == [.written])
      let page = try await test.output(lease.job)
      #expect(page.chunks.first == chunk)
      // PostgreSQL's text cannot hold U+0000: both stores keep the replacement character.
      #expect(page.chunks.last?.pieces == ["a\u{FFFD}b"])
      #expect(page.chunks.last?.logprobs == [TokenLogprobs(logprob: -1)])
    }
  }

  @Test("a repeated write counts as written and changes nothing", arguments: StoreKind.allCases)
  func repeated(kind: StoreKind) async throws {
    try await withStore(kind) { test in
      let (_, lease) = try await test.running()
      for _ in 0..<2 { #expect(try await test.write(lease, from: 0, [1, 2]) == .written) }
      #expect(try await test.write(lease, from: 2, [3]) == .written)
      #expect(try await test.write(lease, from: 0, [1, 2]) == .written)
      let end = JobEnd.succeeded(.stop)
      for _ in 0..<2 {
        #expect(try await test.write(lease, from: 3, [4], end: end) == .written)
      }
      let finished = try await test.job(lease.job)
      test.clock.advance(by: .seconds(9))
      #expect(try await test.write(lease, from: 3, [4], end: end) == .written)
      #expect(try await test.write(lease, from: 2, [3]) == .written)
      #expect(try await test.job(lease.job) == finished)
      #expect(try await test.tokens(lease.job) == [1, 2, 3, 4])
      // Another end than the one that is there is no repetition.
      #expect(try await test.write(lease, from: 3, [4], end: .succeeded(.length)) == .leaseLost)
    }
  }

  @Test("gaps and overlaps are refused", arguments: StoreKind.allCases)
  func contiguous(kind: StoreKind) async throws {
    try await withStore(kind) { test in
      let (_, lease) = try await test.running()
      #expect(try await test.write(lease, from: 1, [1]) == .leaseLost)
      #expect(try await test.write(lease, from: 0, [1, 2]) == .written)
      #expect(try await test.write(lease, from: 3, [4]) == .leaseLost)
      #expect(try await test.write(lease, from: 1, [2, 3]) == .leaseLost)
      #expect(try await test.write(lease, from: 1, [2, 3], end: .succeeded(.stop)) == .leaseLost)
      #expect(try await test.tokens(lease.job) == [1, 2])
      #expect(try await test.job(lease.job).state == .running)
      #expect(try await test.write(lease, from: 2, [3]) == .written)
    }
  }

  @Test("one refused write does not disturb the others of its group", arguments: StoreKind.allCases)
  func group(kind: StoreKind) async throws {
    try await withStore(kind) { test in
      let executor = try await test.executor()
      for _ in 0..<4 { try await test.submit() }
      let leases = try await test.claim(executor, ["model": 4]).map(\.lease)
      _ = try await test.store.cancel(leases[1].job, tenant: nil)
      let unknown = Lease(job: test.submission().id, epoch: 1)
      let failure = JobFailure(code: .engine, message: "out\0 of luck")
      let results = try await test.store.write([
        StoreUnderTest.write(leases[3], from: 0, [1]),
        StoreUnderTest.write(leases[1], from: 0, [2]),
        StoreUnderTest.write(unknown, from: 0, [3]),
        StoreUnderTest.write(leases[0], from: 7, [4]),
        StoreUnderTest.write(leases[2], from: 0, [5], end: .failed(failure)),
        StoreUnderTest.write(leases[3], from: 1, [6]),
      ])
      #expect(
        results == [.written, .leaseLost, .leaseLost, .leaseLost, .written, .written])
      #expect(try await test.tokens(leases[3].job) == [1, 6])
      #expect(try await test.tokens(leases[1].job) == [])
      let failed = try await test.job(leases[2].job)
      #expect(failed.state == .failed)
      #expect(failed.failure == JobFailure(code: .engine, message: "out\u{FFFD} of luck"))
    }
  }

  @Test("each job of a group gets its own part of it", arguments: StoreKind.allCases)
  func parts(kind: StoreKind) async throws {
    try await withStore(kind) { test in
      let executor = try await test.executor()
      for _ in 0..<6 { try await test.submit() }
      let leases = try await test.claim(executor, ["model": 6]).map(\.lease)
      func chunk(
        _ job: Int, from first: Int = 0, _ logprobs: [TokenLogprobs]? = nil
      ) -> OutputChunk {
        let count = logprobs?.count ?? job + 1
        let tokens = (0..<count).map { Int32(100 * job + first + $0) }
        // Some of them of several outputs.
        let outputs = job == 2 || first == 2 ? tokens.map { $0 % 3 } : nil
        return OutputChunk(
          firstIndex: first, tokens: tokens, pieces: tokens.map { "<\($0)>" },
          offsetsMicroseconds: tokens.map { Int64($0) * 7 }, logprobs: logprobs, outputs: outputs)
      }
      func top(_ tokens: Int32...) -> TokenLogprobs {
        TokenLogprobs(
          logprob: -Float(tokens.count),
          top: tokens.map { .init(token: $0, logprob: -Float($0)) })
      }
      let chunks: [Int: [OutputChunk]] = [
        0: [chunk(0)],
        1: [chunk(1, [top(1, 2), top(), top(3)]), chunk(1, from: 3, [top(), top()])],
        2: [chunk(2)],
        4: [chunk(4, [top(4)])],
        5: [chunk(5, [top(5, 6, 7), top(8)]), chunk(5, from: 2), chunk(5, from: 8)],
      ]
      // The fourth ends without output.
      var writes = [StoreUnderTest.write(leases[3], end: .succeeded(.stop))]
      for round in 0..<3 {
        for job in chunks.keys.sorted(by: >) where round < chunks[job]?.count ?? 0 {
          var write = StoreUnderTest.write(leases[job])
          write.chunk = chunks[job]?[round]
          write.usage.promptTokens = Int64(10 + job)
          writes.append(write)
        }
      }
      let results = try await test.store.write(writes)
      #expect(results == Array(repeating: .written, count: writes.count))
      for job in 0..<6 {
        let page = try await test.output(leases[job].job)
        #expect(page.chunks == chunks[job] ?? [])
        #expect(page.job.state == (job == 3 ? .succeeded : .running))
        #expect(page.job.usage.promptTokens == (job == 3 ? 4 : Int64(10 + job)))
      }
    }
  }

  @Test("an end without output finishes the job", arguments: StoreKind.allCases)
  func endAlone(kind: StoreKind) async throws {
    try await withStore(kind) { test in
      let (_, lease) = try await test.running()
      for _ in 0..<2 {
        #expect(try await test.write(lease, end: .succeeded(.stop)) == .written)
      }
      let job = try await test.job(lease.job)
      #expect(job.state == .succeeded)
      #expect(job.firstTokenTime == nil)
      #expect(job.usage.outputTokens == 0)
    }
  }

  @Test("a malformed chunk is an error", arguments: StoreKind.allCases)
  func malformed(kind: StoreKind) async throws {
    try await withStore(kind) { test in
      let (_, lease) = try await test.running()
      var pieces = StoreUnderTest.write(lease, from: 0, [1, 2])
      pieces.chunk?.pieces = ["one"]
      let outputs = [[1], [0, -1], [0, 64]].map {
        StoreUnderTest.write(lease, from: 0, [1, 2], outputs: $0)
      }
      for bad in [pieces] + outputs {
        await #expect {
          try await test.store.write([bad])
        } throws: { ($0 as? JobStoreError)?.code == .invalid }
      }
    }
  }
}
