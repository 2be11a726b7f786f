import JobQueue
import JobStorePostgres
import Postgres
import TestDatabase
import Testing

@Suite("A job of several outputs", .serialized) struct SeveralOutputsTests {
  @Test("its tokens are one sequence, each of one output", arguments: StoreKind.allCases)
  func pages(kind: StoreKind) async throws {
    try await withStore(kind) { test in
      let (_, lease) = try await test.running()
      let chunks = [
        StoreUnderTest.chunk(from: 0, [10, 20, 30], outputs: [0, 1, 2]),
        StoreUnderTest.chunk(from: 3, [11, 12]),
        StoreUnderTest.chunk(from: 5, [31, 21, 32, 13], outputs: [2, 1, 2, 0]),
      ]
      for chunk in chunks {
        let result = try await test.write(
          lease, from: chunk.firstIndex, chunk.tokens, outputs: chunk.outputs)
        #expect(result == .written)
      }
      #expect(try await test.output(lease.job).chunks == chunks)
      for from in 0...9 {
        let page = try await test.output(lease.job, from: from)
        #expect(
          page.chunks
            == chunks.filter { $0.endIndex > from }.map { $0.dropping(before: from) })
      }
      #expect(try await test.job(lease.job).usage.outputTokens == 9)
    }
  }

  @Test("what is all of the first is stored as that of any job", arguments: StoreKind.allCases)
  func firstAlone(kind: StoreKind) async throws {
    try await withStore(kind) { test in
      let (_, lease) = try await test.running()
      #expect(try await test.write(lease, from: 0, [1, 2], outputs: [0, 0]) == .written)
      #expect(try await test.output(lease.job).chunks == [StoreUnderTest.chunk(from: 0, [1, 2])])
    }
  }

  @Test("a claim brings the committed tokens of each output", arguments: StoreKind.allCases)
  func resume(kind: StoreKind) async throws {
    try await withStore(kind) { test in
      let (executor, lease) = try await test.running()
      #expect(try await test.write(lease, from: 0, [5]) == .written)
      #expect(try await test.write(lease, from: 1, [6, 7, 8], outputs: [2, 0, 1]) == .written)
      #expect(try await test.write(lease, from: 4, [9]) == .written)
      try await test.store.release([lease], executor: executor)
      let claimed = try #require(try await test.claim(executor).first)
      #expect(claimed.committedTokens == [5, 6, 7, 8, 9])
      #expect(claimed.committedOutputs == [0, 2, 0, 1, 0])
      #expect(claimed.tokensByOutput == [[5, 7, 9], [8], [6]])
      #expect(try await test.write(claimed.lease, from: 5, [4], outputs: [1]) == .written)
      #expect(try await test.tokens(lease.job) == [5, 6, 7, 8, 9, 4])
    }
  }

  @Test("each output has an end of its own, stored with the job's", arguments: StoreKind.allCases)
  func ends(kind: StoreKind) async throws {
    try await withStore(kind) { test in
      let (_, lease) = try await test.running()
      let end = JobEnd.succeeded(.length, alternatives: [.stop, .stopString])
      for _ in 0..<2 {
        #expect(
          try await test.write(lease, from: 0, [1, 2, 3], outputs: [0, 1, 2], end: end) == .written)
      }
      let job = try await test.job(lease.job)
      #expect(job.state == .succeeded)
      #expect(job.finishReason == .length)
      #expect(job.alternativeFinishReasons == [.stop, .stopString])
      #expect(try await test.output(lease.job).job == job)
      // Other ends than those that are there are no repetition.
      let other = JobEnd.succeeded(.length, alternatives: [.stop, .stop])
      for end in [other, .succeeded(.length)] {
        #expect(try await test.write(lease, from: 0, [1, 2, 3], end: end) == .leaseLost)
      }
    }
  }

  @Test("reports tell the tokens of each output")
  func views() async throws {
    let database = try await MigratedDatabases.shared.make()
    let clock = TestClock()
    try await withPostgresStore(database, now: { clock.now }) { store in
      let test = StoreUnderTest(store: store, clock: clock)
      let (_, lease) = try await test.running()
      _ = try await test.write(lease, from: 0, [5, 6])
      let end = JobEnd.succeeded(.length, alternatives: [.stop])
      _ = try await test.write(lease, from: 2, [7, 8], outputs: [1, 0], end: end)
      let connection = try await Connection.connect(
        ConnectionConfiguration(connectionString: database), logger: TestServer.logger)
      let tokens = try await connection.query(
        Statement(
          """
          SELECT token_index, token_id, output FROM millrace.tokens
          WHERE job_id = $1 ORDER BY token_index
          """, lease.job.uuid))
      #expect(try tokens.map { try $0.decode("token_index", as: Int64.self) } == [0, 1, 2, 3])
      #expect(try tokens.map { try $0.decode("token_id", as: Int32.self) } == [5, 6, 7, 8])
      #expect(try tokens.map { try $0.decode("output", as: Int32.self) } == [0, 0, 1, 0])
      let report = try #require(
        try await connection.query(
          "SELECT alternative_finish_reasons FROM millrace.job_report WHERE id = $1",
          lease.job.uuid
        ).first)
      #expect(try report.decode("alternative_finish_reasons", as: [String].self) == ["stop"])
      await connection.close()
    }
  }
}
