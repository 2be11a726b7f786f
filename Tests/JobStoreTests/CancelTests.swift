import Foundation
import JobQueue
import Testing

@Suite(.serialized) struct CancelTests {
  @Test(
    "a cancel ends queued and running jobs and leaves ended ones alone",
    arguments: StoreKind.allCases)
  func cancel(kind: StoreKind) async throws {
    try await withStore(kind) { test in
      let queued = try await test.submit(model: "other")
      let cancelled = try #require(try await test.store.cancel(queued, tenant: "tenant"))
      #expect(cancelled.state == .cancelled)
      #expect(cancelled.finishTime == test.clock.now)
      #expect(cancelled == (try await test.job(queued)))

      let (_, lease) = try await test.running()
      _ = try await test.write(lease, from: 0, [1])
      let stopped = try #require(try await test.store.cancel(lease.job, tenant: nil))
      #expect(stopped.state == .cancelled)
      #expect(stopped.executor == nil)
      #expect(stopped.epoch == lease.epoch + 1)
      #expect(try await test.tokens(lease.job) == [1])

      test.clock.advance(by: .seconds(1))
      #expect(try await test.store.cancel(lease.job, tenant: nil) == stopped)
      #expect(try await test.store.cancel(test.submission().id, tenant: nil) == nil)
      let (_, other) = try await test.running()
      _ = try await test.write(other, end: .succeeded(.stop))
      #expect(try await test.store.cancel(other.job, tenant: nil)?.state == .succeeded)
    }
  }

  @Test("deadlines end queued and running jobs", arguments: StoreKind.allCases)
  func expire(kind: StoreKind) async throws {
    try await withStore(kind) { test in
      let start = test.clock.now
      let (_, lease) = try await test.running(deadline: start + .seconds(10))
      let queued = try await test.submit(deadline: start + .seconds(20))
      let free = try await test.submit()
      #expect(try await test.store.expire(limit: 10).isEmpty)
      test.clock.advance(by: .seconds(30))
      #expect(try await test.store.expire(limit: 1).map(\.id) == [lease.job])
      let expired = try await test.store.expire(limit: 10)
      #expect(expired.map(\.id) == [queued])
      #expect(expired.first?.state == .expired)
      #expect(expired.first?.finishTime == test.clock.now)
      #expect(try await test.store.expire(limit: 10).isEmpty)
      #expect(try await test.job(free).state == .queued)
    }
  }
}
