import Foundation
import JobQueue
import Testing

/// Reads signals until one is what is waited for; fails the test after a bounded time.
func waitForSignal(
  _ signals: AsyncStream<JobSignal>, _ isExpected: @escaping @Sendable (JobSignal) -> Bool
) async throws {
  try await withThrowingTaskGroup(of: Bool.self) { group in
    group.addTask {
      for await signal in signals where isExpected(signal) { return true }
      return false
    }
    group.addTask {
      try await Task.sleep(for: .seconds(60))
      return false
    }
    let isFound = try await group.next()
    #expect(isFound == true)
    group.cancelAll()
  }
}

@Suite(.serialized) struct SignalTests {
  @Test("every change that somebody waits for is signalled", arguments: StoreKind.allCases)
  func signals(kind: StoreKind) async throws {
    try await withStore(kind) { test in
      let executor = try await test.executor()
      let reader = SignalReader(test.store.signals())
      let id = try await test.submit(maxAttempts: 1)
      #expect(await reader.next() == .ready)
      let lease = try #require(try await test.claim(executor).first?.lease)
      #expect(await reader.next() == .progressed(id, nil))
      _ = try await test.write(lease, from: 0, [1])
      #expect(await reader.next() == .progressed(id, StoreUnderTest.chunk(from: 0, [1])))
      try await test.store.release([lease], executor: executor)
      #expect(await reader.next() == .progressed(id, nil))
      #expect(await reader.next() == .ready)
      _ = try await test.claim(executor)
      #expect(await reader.next() == .progressed(id, nil))
      _ = try await test.store.cancel(id, tenant: nil)
      #expect(await reader.next() == .revoked(id))
      #expect(await reader.next() == .progressed(id, nil))

      let second = try await test.submit(maxAttempts: 1)
      #expect(await reader.next() == .ready)
      _ = try await test.claim(executor)
      #expect(await reader.next() == .progressed(second, nil))
      test.clock.advance(by: StoreUnderTest.leaseDuration)
      _ = try await test.store.rescue(limit: 10)
      #expect(await reader.next() == .revoked(second))
      #expect(await reader.next() == .progressed(second, nil))

      let third = try await test.submit(deadline: test.clock.now + .seconds(1))
      #expect(await reader.next() == .ready)
      test.clock.advance(by: .seconds(2))
      _ = try await test.store.expire(limit: 10)
      #expect(await reader.next() == .progressed(third, nil))
    }
  }

  @Test("a return to the queue is signalled, however it comes", arguments: StoreKind.allCases)
  func requeued(kind: StoreKind) async throws {
    try await withStore(kind) { test in
      let (executor, lease) = try await test.running()
      let reader = SignalReader(test.store.signals())
      func expectReturn() async throws {
        #expect(await reader.next() == .progressed(lease.job, nil))
        #expect(await reader.next() == .ready)
      }
      func expectClaim(_ executor: ExecutorID) async throws {
        #expect(try await test.claim(executor).count == 1)
        #expect(await reader.next() == .progressed(lease.job, nil))
      }
      // A claim whose answer was lost, found out by a heartbeat.
      for _ in 0..<2 {
        test.clock.advance(by: .seconds(20))
        _ = try await test.store.heartbeat(
          executor, leases: [], leaseDuration: StoreUnderTest.leaseDuration)
      }
      try await expectReturn()
      try await expectClaim(executor)
      try await test.store.deregister(executor)
      try await expectReturn()
      try await expectClaim(test.executor())
      test.clock.advance(by: StoreUnderTest.leaseDuration)
      #expect(try await test.store.rescue(limit: 9).count == 1)
      #expect(await reader.next() == .revoked(lease.job))
      try await expectReturn()
    }
  }

  @Test("a subscriber that does not read disturbs nobody", arguments: StoreKind.allCases)
  func slowSubscriber(kind: StoreKind) async throws {
    try await withStore(kind) { test in
      let idle = test.store.signals()
      let reader = SignalReader(test.store.signals())
      let count = kind == .memory ? JobSignalHub.bufferedSignals + 50 : 50
      for _ in 0..<count {
        try await test.submit()
        #expect(await reader.next() == .ready)
      }
      withExtendedLifetime(idle) {}
    }
  }
}

/// Reads signals one by one.
struct SignalReader {
  private let stream: AsyncStream<JobSignal>

  init(_ stream: AsyncStream<JobSignal>) {
    self.stream = stream
  }

  func next() async -> JobSignal? {
    for await signal in stream { return signal }
    return nil
  }
}
