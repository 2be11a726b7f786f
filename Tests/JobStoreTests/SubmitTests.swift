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
      #expect(result == [SubmitResult(job: expected.withoutPrompt, isNew: true)])
      #expect(try await test.store.job(submission.id, tenant: "tenant") == expected)
      #expect(try await test.store.job(submission.id, tenant: "other") == nil)
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

  @Test("only a claim and a single job bring the prompt", arguments: StoreKind.allCases)
  func prompts(kind: StoreKind) async throws {
    try await withStore(kind) { test in
      let executor = try await test.executor()
      let submission = test.submission("r1", deadline: test.clock.now + .seconds(1_000))
      let id = submission.id
      let lean = [
        try await test.store.submit([submission])[0].job,
        try await test.store.submit([submission])[0].job,
        try await test.store.submitted(tenant: "tenant", requestIDs: ["r1"])[0],
        try await test.job(id),
        try await test.store.list(JobFilter(), page: PageRequest(size: 9)).jobs[0],
        try await test.output(id).job,
      ]
      for job in lean {
        #expect(job == lean[0])
        #expect(job.spec.prompt == nil)
        var full = job.spec
        full.prompt = submission.spec.prompt
        #expect(full == submission.spec)
      }
      #expect(try await test.claim(executor).map(\.job.spec) == [submission.spec])
      #expect(try await test.store.job(id, tenant: nil)?.spec == submission.spec)
      test.clock.advance(by: StoreUnderTest.leaseDuration)
      #expect(try await test.store.rescue(limit: 9).map(\.spec) == [lean[0].spec])
      #expect(try await test.store.cancel(id, tenant: nil)?.spec == lean[0].spec)
      #expect(try await test.store.cancel(id, tenant: nil)?.spec == lean[0].spec)
      _ = try await test.submit(deadline: test.clock.now + .seconds(1))
      test.clock.advance(by: .seconds(2))
      #expect(try await test.store.expire(limit: 9).map(\.spec.prompt) == [nil])
      var empty = test.submission()
      empty.spec.prompt = nil
      let bad = empty
      await #expect {
        try await test.store.submit([bad])
      } throws: { ($0 as? JobStoreError)?.code == .invalid }
    }
  }

  @Test("two spellings of one text are two names", arguments: StoreKind.allCases)
  func spellings(kind: StoreKind) async throws {
    try await withStore(kind) { test in
      let (one, two) = ("caf\u{e9}", "cafe\u{301}")  // the same to a reader, and to `==`
      #expect(one == two)
      let results = try await test.store.submit([
        test.submission(one, labels: ["name": one]), test.submission(two, labels: ["name": two]),
        test.submission(one, tenant: one), test.submission(one, tenant: two),
        test.submission(nil, model: one), test.submission(nil, model: two),
      ])
      #expect(results.map(\.isNew) == Array(repeating: true, count: 6))
      let ids = results.map(\.job.id)
      #expect(
        try await test.store.submit([test.submission(two), test.submission(one)]).map(\.job.id)
          == [ids[1], ids[0]])
      for (text, first) in [(one, 0), (two, 1)] {
        let known = try await test.store.submitted(tenant: "tenant", requestIDs: [text])
        #expect(known.map(\.id) == [ids[first]])
        #expect(try await test.store.jobs(ids, tenant: text).map(\.id) == [ids[2 + first]])
        let filters = [
          JobFilter(labels: ["name": text]), JobFilter(tenant: text), JobFilter(model: text),
        ]
        for (filter, index) in zip(filters, [0, 2, 4]) {
          let page = try await test.store.list(filter, page: PageRequest(size: 9))
          #expect(page.jobs.map(\.id) == [ids[index + first]])
        }
        let executor = try await test.executor()
        #expect(try await test.claim(executor, [text: 9]).map(\.job.id) == [ids[4 + first]])
      }
    }
  }

  @Test("a full queue refuses new jobs and answers for known ones", arguments: StoreKind.allCases)
  func full(kind: StoreKind) async throws {
    try await withStore(kind, maxQueuedJobs: 3) { test in
      let executor = try await test.executor()
      let named = test.submission("r1")
      let first = try await test.store.submit([named, test.submission()])
      func expectFull(_ submissions: [Submission]) async throws {
        let before = try await test.store.list(JobFilter(), page: PageRequest(size: 99)).jobs
        let error = await #expect(throws: JobStoreError.self) {
          try await test.store.submit(submissions)
        }
        #expect(error?.code == .exhausted)
        #expect(error?.message.contains("3 jobs") == true)
        let after = try await test.store.list(JobFilter(), page: PageRequest(size: 99)).jobs
        #expect(after == before)
      }
      try await expectFull([test.submission(), test.submission()])
      #expect(
        try await test.store.submit([named, test.submission()]).map(\.isNew) == [false, true])
      try await expectFull([test.submission()])
      try await expectFull([named, test.submission("r2"), test.submission("r2")])
      let again = try await test.store.submit([named, named])
      #expect(again == Array(repeating: SubmitResult(job: first[0].job, isNew: false), count: 2))
      // Running jobs do not count, nor do ended ones, but those that come back do.
      let claimed = try await test.claim(executor, ["model": 2])
      #expect(try await test.store.submit([test.submission("r2")]).map(\.isNew) == [true])
      _ = try await test.store.submit([test.submission()])
      try await expectFull([test.submission()])
      _ = try await test.write(claimed[0].lease, end: .succeeded(.stop))
      try await test.store.release([claimed[1].lease], executor: executor)
      try await expectFull([test.submission()])
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
