import Foundation
import JobQueue
import Testing

@Suite(.serialized) struct SubmitTests {
  @Test("a submitted job is stored as it was given", arguments: StoreKind.allCases)
  func roundTrip(kind: StoreKind) async throws {
    try await withStore(kind) { test in
      let now = test.clock.now
      var submission = test.submission("r1", labels: ["team": "a", "näme": "ü \" {}"])
      submission.spec.prompt = .messages([ChatMessage(role: "user", content: "héllo 👋\n")])
      submission.spec.sampling = SamplingParameters(
        maxTokens: 17, temperature: 0.7, topP: 0.9, topK: 40, minP: 0.05, repetitionPenalty: 1.1,
        presencePenalty: -0.25, frequencyPenalty: 1e-7, seed: .max, stop: ["\n\n", "end"],
        logprobs: 5, logitBias: [3: -1.5, 99: 0.1])
      submission.spec.speculation = .off
      submission.spec.priority = -3
      submission.spec.runAfter = now + .seconds(5)
      submission.spec.deadline = now + .seconds(500)
      let result = try await test.store.submit([submission])
      let expected = Job(
        id: submission.id, tenant: "tenant", requestID: "r1", spec: submission.spec,
        state: .queued, createTime: now)
      #expect(result == [SubmitResult(job: expected, isNew: true)])
      #expect(try await test.job(submission.id) == expected)
    }
  }

  @Test("the same request id gives the same job", arguments: StoreKind.allCases)
  func idempotent(kind: StoreKind) async throws {
    try await withStore(kind) { test in
      let first = test.submission("r1")
      let second = test.submission("r1", model: "other")
      let elsewhere = test.submission("r1", tenant: "other")
      let nameless = [test.submission(), test.submission()]
      let results = try await test.store.submit([first, second, elsewhere] + nameless)
      #expect(results.map(\.isNew) == [true, false, true, true, true])
      #expect(results[1].job == results[0].job)
      #expect(Set(results.map(\.job.id)).count == 4)
      test.clock.advance(by: .seconds(1))
      let again = try await test.store.submit([second, first])
      #expect(again.map(\.isNew) == [false, false])
      #expect(again.map(\.job) == [results[0].job, results[0].job])
    }
  }

  @Test("concurrent submissions of one request id make one job", arguments: StoreKind.allCases)
  func concurrent(kind: StoreKind) async throws {
    try await withStore(kind) { test in
      let names = (0..<8).map { "r\($0)" }
      let results = try await withThrowingTaskGroup(of: [SubmitResult].self) { group in
        for round in 0..<16 {
          // Every other one in reverse, so that locks are wanted in both orders.
          let order = round % 2 == 0 ? names : names.reversed()
          group.addTask { try await test.store.submit(order.map { test.submission($0) }) }
        }
        return try await group.reduce(into: []) { $0 += $1 }
      }
      #expect(results.count == 128)
      #expect(results.count { $0.isNew } == 8)
      for name in names {
        #expect(Set(results.filter { $0.job.requestID == name }.map(\.job.id)).count == 1)
      }
    }
  }

  @Test("a submission with an error stores nothing", arguments: StoreKind.allCases)
  func allOrNone(kind: StoreKind) async throws {
    try await withStore(kind) { test in
      let known = try await test.submit()
      var broken = test.submission()
      broken.spec.prompt = .text("a\0b")
      let good = test.submission("r1")
      for bad in [broken, test.submission("r2", id: known)] {
        await #expect {
          try await test.store.submit([good, bad])
        } throws: { ($0 as? JobStoreError)?.code == .invalid }
      }
      #expect(try await test.store.jobs([good.id, broken.id], tenant: nil).isEmpty)
      #expect(try await test.store.submit([good]).map(\.isNew) == [true])
    }
  }

  @Test("a tenant sees only its own jobs", arguments: StoreKind.allCases)
  func tenants(kind: StoreKind) async throws {
    try await withStore(kind) { test in
      let mine = try await test.submit(tenant: "a")
      let theirs = try await test.submit(tenant: "b")
      let unknown = test.submission().id
      let ids = [mine, theirs, unknown]
      #expect(try await test.store.jobs(ids, tenant: "a").map(\.id) == [mine])
      #expect(try await Set(test.store.jobs(ids, tenant: nil).map(\.id)) == [mine, theirs])
      #expect(try await test.store.cancel(theirs, tenant: "a") == nil)
      #expect(try await test.job(theirs).state == .queued)
    }
  }
}
