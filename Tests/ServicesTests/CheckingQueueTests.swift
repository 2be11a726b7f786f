import RPC
import Services
import Synchronization
import Testing

@Suite("The checking of long prompts")
struct CheckingQueueTests {
  private static let large = CheckingQueue.smallBytes + 1

  @Test("answers for each item in their order, whatever their size", arguments: [1, large])
  func order(bytes: Int) async throws {
    let queue = CheckingQueue()
    let values = try await queue.run(over: Array(repeating: bytes, count: 50)) { $0 * 2 }
    #expect(values == (0..<50).map { $0 * 2 })
  }

  @Test("refuses what is too much beside what waits, and takes it afterwards")
  func limit() async throws {
    let queue = CheckingQueue(maxWaitingBytes: Self.large * 3)
    let began = OneShotSignal()
    let gate = Mutex(false)
    async let first = queue.run(over: [Self.large, Self.large]) { item in
      began.send()
      while !gate.withLock({ $0 }) {}
      return item
    }
    await began.wait()
    let error = await #expect(throws: RPCError.self) {
      _ = try await queue.run(over: [Self.large, Self.large]) { $0 }
    }
    #expect(error?.code == .resourceExhausted)
    #expect(try await queue.run(over: [1]) { $0 } == [0])
    gate.withLock { $0 = true }
    #expect(try await first == [0, 1])
    #expect(try await queue.run(over: [Self.large, Self.large]) { $0 } == [0, 1])
  }

  @Test("stops between two items when the call is over")
  func cancellation() async throws {
    let queue = CheckingQueue()
    let began = OneShotSignal()
    let checked = Mutex(0)
    let mayEnd = Mutex(false)
    let task = Task {
      try await queue.run(over: Array(repeating: Self.large, count: 100)) { _ in
        checked.withLock { $0 += 1 }
        began.send()
        while !mayEnd.withLock({ $0 }) {}
      }
    }
    await began.wait()
    task.cancel()
    mayEnd.withLock { $0 = true }
    await #expect(throws: CancellationError.self) { _ = try await task.value }
    #expect(checked.withLock { $0 } == 1)
    #expect(try await queue.run(over: [Self.large]) { $0 } == [0])
  }
}
