import Foundation
import JobQueue
import Testing

/// How a running job can be taken from its executor.
enum Loss: String, CaseIterable, Sendable {
  case rescue, cancel, expire, release, abandon, deregister

  func inflict(on test: StoreUnderTest, _ lease: Lease, _ executor: ExecutorID) async throws {
    switch self {
    case .rescue:
      test.clock.advance(by: StoreUnderTest.leaseDuration)
      #expect(try await test.store.rescue(limit: 10).map(\.id) == [lease.job])
    case .cancel:
      #expect(try await test.store.cancel(lease.job, tenant: nil)?.state == .cancelled)
    case .expire:
      test.clock.advance(by: .seconds(20))
      #expect(try await test.store.expire(limit: 10).map(\.id) == [lease.job])
    case .release: try await test.store.release([lease], executor: executor)
    case .abandon: try await test.store.abandon([lease], executor: executor)
    case .deregister: try await test.store.deregister(executor)
    }
  }
}

@Suite(.serialized) struct FencingTests {
  @Test(
    "nothing that an executor does counts once its lease has moved on",
    arguments: StoreKind.allCases, Loss.allCases)
  func fenced(kind: StoreKind, loss: Loss) async throws {
    try await withStore(kind) { test in
      let deadline = loss == .expire ? test.clock.now + .seconds(20) : nil
      let (executor, lease) = try await test.running(deadline: deadline)
      #expect(try await test.write(lease, from: 0, [1]) == .written)
      try await loss.inflict(on: test, lease, executor)
      let before = try await test.output(lease.job)
      #expect(before.job.epoch > lease.epoch)
      try await expectFenced(test, lease, executor)
      #expect(try await test.output(lease.job) == before)
      guard before.job.state == .queued else { return }

      // The same once another executor has the job.
      let other = try await test.executor()
      let claimed = try #require(try await test.claim(other).first)
      #expect(claimed.committedTokens == [1])
      #expect(claimed.lease.epoch > lease.epoch)
      let running = try await test.output(lease.job)
      try await expectFenced(test, lease, executor)
      #expect(try await test.output(lease.job) == running)
      #expect(try await test.write(claimed.lease, from: 1, [2]) == .written)
    }
  }

  private func expectFenced(
    _ test: StoreUnderTest, _ lease: Lease, _ executor: ExecutorID
  ) async throws {
    #expect(try await test.write(lease, from: 1, [9]) == .leaseLost)
    #expect(try await test.write(lease, from: 0, [1]) == .leaseLost)
    #expect(try await test.write(lease) == .leaseLost)
    #expect(try await test.write(lease, from: 1, [9], end: .succeeded(.stop)) == .leaseLost)
    let failure = JobFailure(code: .engine, message: "no")
    #expect(try await test.write(lease, end: .failed(failure)) == .leaseLost)
    try await test.store.release([lease], executor: executor)
    try await test.store.abandon([lease], executor: executor)
    let beat = try await test.store.heartbeat(
      executor, leases: [lease], leaseDuration: StoreUnderTest.leaseDuration)
    #expect(beat.held.isEmpty)
  }

  @Test("a heartbeat keeps leases and says which are held", arguments: StoreKind.allCases)
  func heartbeat(kind: StoreKind) async throws {
    try await withStore(kind) { test in
      let executor = try await test.executor()
      for _ in 0..<3 { try await test.submit() }
      let leases = try await test.claim(executor, ["model": 3]).map(\.lease)
      _ = try await test.store.cancel(leases[1].job, tenant: nil)
      for _ in 0..<4 {
        test.clock.advance(by: .seconds(20))
        let beat = try await test.store.heartbeat(
          executor, leases: leases, leaseDuration: StoreUnderTest.leaseDuration)
        #expect(
          beat
            == HeartbeatResult(
              isRegistered: true, isDraining: false, held: [leases[0], leases[2]]))
        #expect(try await test.store.rescue(limit: 10).isEmpty)
      }
      let stranger = try await test.store.heartbeat(
        ExecutorID(), leases: leases, leaseDuration: StoreUnderTest.leaseDuration)
      #expect(stranger == HeartbeatResult(isRegistered: false, isDraining: false, held: []))
    }
  }

  @Test("a claim whose answer was lost returns to the queue", arguments: StoreKind.allCases)
  func lostClaim(kind: StoreKind) async throws {
    try await withStore(kind) { test in
      let executor = try await test.executor()
      try await test.submit()
      let lost = try #require(try await test.claim(executor).first)
      func beat() async throws {
        _ = try await test.store.heartbeat(
          executor, leases: [], leaseDuration: StoreUnderTest.leaseDuration)
      }
      test.clock.advance(by: StoreUnderTest.leaseDuration)
      try await beat()
      #expect(try await test.job(lost.job.id).state == .running)
      test.clock.advance(by: .seconds(1))
      try await beat()
      let job = try await test.job(lost.job.id)
      #expect(job.state == .queued)
      #expect(job.attempt == 0)
      #expect(try await test.claim(executor).map(\.job.id) == [lost.job.id])
    }
  }

  @Test(
    "lost attempts count until the job fails, handed-back ones do not",
    arguments: StoreKind.allCases)
  func attempts(kind: StoreKind) async throws {
    try await withStore(kind) { test in
      let id = try await test.submit(maxAttempts: 2)
      for attempt in 1...2 {
        let executor = try await test.executor()
        for _ in 0..<3 {
          let claimed = try #require(try await test.claim(executor).first)
          #expect(claimed.job.attempt == Int32(attempt))
          try await test.store.release([claimed.lease], executor: executor)
          #expect(try await test.job(id).attempt == Int32(attempt) - 1)
        }
        _ = try await test.claim(executor)
        test.clock.advance(by: StoreUnderTest.leaseDuration)
        let rescued = try #require(try await test.store.rescue(limit: 10).first)
        #expect(rescued == (try await test.job(id)))
        #expect(rescued.state == (attempt == 2 ? .failed : .queued))
        #expect(try await test.store.executors().isEmpty)
      }
      let failed = try await test.job(id)
      #expect(failed.failure == .attemptsExhausted(2))
      #expect(failed.finishTime == test.clock.now)
      #expect(failed.executor == nil)
    }
  }

  @Test("abandoned attempts count until the job fails", arguments: StoreKind.allCases)
  func abandoned(kind: StoreKind) async throws {
    try await withStore(kind) { test in
      let (executor, first) = try await test.running(maxAttempts: 2)
      #expect(try await test.write(first, from: 0, [1]) == .written)
      // Nobody else's leases, and none that are over.
      try await test.store.abandon([first], executor: test.executor())
      try await test.store.abandon(
        [Lease(job: first.job, epoch: first.epoch + 1)], executor: executor)
      #expect(try await test.job(first.job).state == .running)
      try await test.store.abandon([first], executor: executor)
      let job = try await test.job(first.job)
      #expect(job.state == .queued)
      #expect(job.attempt == 1)
      let second = try #require(try await test.claim(executor).first)
      #expect(second.committedTokens == [1])
      try await test.store.abandon([second.lease], executor: executor)
      let failed = try await test.job(first.job)
      #expect(failed.failure == .attemptsExhausted(2))
      #expect(failed.finishTime == test.clock.now)
      #expect(failed.usage.outputTokens == 1)
    }
  }

  @Test(
    "rescue takes no more than its limit, and forgets an executor last",
    arguments: StoreKind.allCases)
  func rescueLimit(kind: StoreKind) async throws {
    try await withStore(kind) { test in
      let executor = try await test.executor()
      for _ in 0..<5 { try await test.submit() }
      #expect(try await test.claim(executor, ["model": 5]).count == 5)
      let idle = try await test.executor()
      test.clock.advance(by: StoreUnderTest.leaseDuration)
      #expect(try await test.store.rescue(limit: 3).count == 3)
      #expect(try await test.store.executors().map(\.description.id) == [executor])
      #expect(try await test.store.rescue(limit: 3).count == 2)
      #expect(try await test.store.executors().isEmpty)
      let beat = try await test.store.heartbeat(
        idle, leases: [], leaseDuration: StoreUnderTest.leaseDuration)
      #expect(!beat.isRegistered)
    }
  }
}
