import Services
import Synchronization
import Testing

@Suite("Health, as the monitor keeps it")
struct HealthMonitorTests {
  private struct Away: Error {}

  @Test("follows the store: down when it is away, up again when it is back")
  func store() async throws {
    let board = HealthBoard(services: [])
    let isAway = Mutex(false)
    let monitor = HealthMonitor(
      board: board, interval: .milliseconds(1), isReady: { true },
      ping: { if isAway.withLock({ $0 }) { throw Away() } })
    await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try await monitor.run() }
      for _ in 0..<3 {
        while board.status != .serving { await Task.yield() }
        isAway.withLock { $0 = true }
        while board.status != .notServing { await Task.yield() }
        isAway.withLock { $0 = false }
      }
      group.cancelAll()
    }
  }

  @Test("asks the store only once the service is ready, and then says SERVING")
  func start() async throws {
    let board = HealthBoard(services: [])
    let looks = Mutex(0)
    let early = Mutex(0)
    let monitor = HealthMonitor(
      board: board, interval: .milliseconds(1),
      isReady: {
        looks.withLock { looks in
          looks += 1
          return looks > 2
        }
      },
      ping: { if looks.withLock({ $0 <= 2 }) { early.withLock { $0 += 1 } } })
    await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try await monitor.run() }
      while board.status != .serving { await Task.yield() }
      group.cancelAll()
    }
    #expect(early.withLock { $0 } == 0)
    #expect(looks.withLock { $0 } == 3)
  }
}
