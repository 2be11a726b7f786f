import Foundation
import JobQueue
import Testing

@Suite(.serialized) struct ListTests {
  @Test(
    "paging shows each job once, newest first, while others arrive",
    arguments: StoreKind.allCases)
  func paging(kind: StoreKind) async throws {
    try await withStore(kind) { test in
      // Many share a creation time, so that only the id tells them apart.
      for _ in 0..<5 {
        test.clock.advance(by: .milliseconds(1))
        _ = try await test.store.submit((0..<4).map { _ in test.submission() })
      }
      let all = try await test.store.list(JobFilter(), page: PageRequest(size: 100))
      #expect(all.jobs.count == 20)
      #expect(all.next == nil)
      let order = all.jobs.map { ($0.createTime, $0.id) }
      #expect(zip(order, order.dropFirst()).allSatisfy { $0 > $1 })

      var seen: [JobID] = []
      var cursor: JobCursor?
      repeat {
        let page = try await test.store.list(
          JobFilter(), page: PageRequest(size: 3, after: cursor))
        #expect(page.jobs.count == (page.next == nil ? 2 : 3))
        seen += page.jobs.map(\.id)
        cursor = page.next
        try await test.submit()
      } while cursor != nil
      #expect(seen == all.jobs.map(\.id))
    }
  }

  @Test("every filter holds, alone and together", arguments: StoreKind.allCases)
  func filters(kind: StoreKind) async throws {
    try await withStore(kind) { test in
      let start = test.clock.now
      let a = try await test.submit(tenant: "a", labels: ["team": "x", "run": "1"])
      let b = try await test.submit(tenant: "a", model: "other", labels: ["team": "x"])
      let c = try await test.submit(tenant: "b", labels: ["team": "y"])
      let middle = test.clock.now
      let d = try await test.submit(tenant: "b")
      _ = try await test.store.cancel(d, tenant: nil)

      let cases: [(JobFilter, [JobID])] = [
        (JobFilter(), [d, c, b, a]),
        (JobFilter(tenant: "a"), [b, a]),
        (JobFilter(states: [.queued]), [c, b, a]),
        (JobFilter(states: [.cancelled, .running]), [d]),
        (JobFilter(model: "other"), [b]),
        (JobFilter(labels: ["team": "x"]), [b, a]),
        (JobFilter(labels: ["team": "x", "run": "1"]), [a]),
        (JobFilter(labels: ["team": "z"]), []),
        (JobFilter(createdAfter: middle), [d]),
        (JobFilter(createdBefore: middle), [b, a]),
        (JobFilter(createdAfter: start, createdBefore: middle), [b, a]),
        (
          JobFilter(
            tenant: "a", states: [.queued], model: "model", labels: ["run": "1"],
            createdAfter: start, createdBefore: middle), [a]
        ),
        (JobFilter(tenant: "nobody"), []),
      ]
      for (filter, expected) in cases {
        let page = try await test.store.list(filter, page: PageRequest(size: 10))
        #expect(page.jobs.map(\.id) == expected, "\(filter)")
        let first = try await test.store.list(filter, page: PageRequest(size: 1))
        #expect(first.jobs.map(\.id) == Array(expected.prefix(1)), "\(filter)")
        #expect((first.next == nil) == (expected.count < 2), "\(filter)")
      }
    }
  }

  @Test("statistics count what is there", arguments: StoreKind.allCases)
  func statistics(kind: StoreKind) async throws {
    try await withStore(kind) { test in
      let empty = try await test.store.statistics()
      #expect(empty.jobs.count == JobState.allCases.count)
      #expect(empty.jobs.values.allSatisfy { $0 == 0 })
      #expect(empty.oldestReadyTime == nil)
      let (_, lease) = try await test.running()
      _ = try await test.write(lease, from: 0, [1, 2, 3])
      let now = test.clock.now
      try await test.submit(runAfter: now + .seconds(100))
      try await test.submit(runAfter: now + .seconds(5))
      let later = try await test.store.statistics()
      #expect(later.jobs[.running] == 1)
      #expect(later.jobs[.queued] == 2)
      #expect(later.outputTokens == 3)
      #expect(later.oldestReadyTime == nil)
      test.clock.advance(by: .seconds(50))
      #expect(try await test.store.statistics().oldestReadyTime == now + .seconds(5))
    }
  }

  @Test("statistics and pruning go by a job's end", arguments: StoreKind.allCases)
  func old(kind: StoreKind) async throws {
    try await withStore(kind) { test in
      let day = QueueStatistics.endedWindow
      var ended: [JobID] = []
      for hour in 0..<4 {
        let (_, lease) = try await test.running()
        let tokens = Array(repeating: Int32(hour), count: hour + 1)
        _ = try await test.write(lease, from: 0, tokens, end: .succeeded(.stop))
        ended.append(lease.job)
        test.clock.advance(by: .seconds(3_600))
      }
      let named = test.submission("r1")
      _ = try await test.store.submit([named])
      _ = try await test.store.cancel(named.id, tenant: nil)
      let (_, running) = try await test.running()
      _ = try await test.write(running, from: 0, [1])
      let queued = try await test.submit()
      #expect(try await test.store.statistics().outputTokens == 11)
      // The first two ended a day ago and more; the second one to the microsecond.
      test.clock.advance(by: day - .seconds(3 * 3_600) - .milliseconds(2))
      let now = try await test.store.statistics()
      #expect(now.jobs[.succeeded] == 2)
      #expect(now.jobs[.cancelled] == 1)
      #expect(now.jobs[.running] == 1)
      #expect(now.jobs[.queued] == 1)
      #expect(now.outputTokens == 3 + 4 + 1)

      #expect(try await test.store.prune(olderThan: day + .seconds(7_200), limit: 9) == 0)
      #expect(try await test.store.prune(olderThan: day, limit: 1) == 1)
      #expect(try await test.store.job(ended[0], tenant: nil) == nil)
      #expect(try await test.store.output(of: ended[0], from: 0, maxTokens: 9) == nil)
      #expect(try await test.tokens(ended[1]) == [1, 1])
      #expect(try await test.store.prune(olderThan: day, limit: 9) == 1)
      #expect(try await test.store.prune(olderThan: .zero, limit: 9) == 3)
      #expect(
        try await test.store.list(JobFilter(), page: PageRequest(size: 9)).jobs.map(\.id)
          == [queued, running.job])
      #expect(try await test.store.prune(olderThan: .zero, limit: 9) == 0)
      // Its request id is free again.
      #expect(try await test.store.submit([test.submission("r1")]).map(\.isNew) == [true])
    }
  }

  @Test("executors are shown with what they run", arguments: StoreKind.allCases)
  func executors(kind: StoreKind) async throws {
    try await withStore(kind) { test in
      let start = test.clock.now
      let description = ExecutorDescription(
        id: ExecutorID(), host: "höst", processID: 42, models: ["model", "b"], slots: 3)
      try await test.store.register(description, leaseDuration: .seconds(10))
      try await test.submit()
      _ = try await test.claim(description.id)
      test.clock.advance(by: .seconds(4))
      var renewed = description
      renewed.slots = 5
      #expect(try await test.store.drain(description.id))
      try await test.store.register(renewed, leaseDuration: .seconds(10))
      let now = test.clock.now
      #expect(
        try await test.store.executors() == [
          ExecutorStatus(
            description: renewed, startTime: start, heartbeatTime: now,
            expireTime: now + .seconds(10), isDraining: true, runningJobs: 1)
        ])
      try await test.store.deregister(description.id)
      #expect(try await test.store.executors().isEmpty)
      #expect(try await test.store.statistics().jobs[.queued] == 1)
    }
  }
}
