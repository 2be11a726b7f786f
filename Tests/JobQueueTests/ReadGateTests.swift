import JobQueue
import Testing

@Suite("The gate before the store")
struct ReadGateTests {
  @Test("who came first goes first, and who gives up is passed over")
  func order() async throws {
    let gate = ReadGate(limit: 1)
    try await gate.enter()
    let (entered, input) = AsyncStream<Int>.makeStream()
    var tasks: [Task<Void, any Error>] = []
    for number in 0..<6 {
      tasks.append(
        Task {
          try await gate.enter()
          input.yield(number)
        })
      while gate.waitingCount <= number { await Task.yield() }
    }
    for number in [1, 4] {
      tasks[number].cancel()
      await #expect(throws: CancellationError.self) { try await tasks[number].value }
    }
    #expect(gate.waitingCount == 4)
    var order: [Int] = []
    gate.leave()
    for await number in entered {
      order.append(number)
      gate.leave()
      if order.count == 4 { break }
    }
    #expect(order == [0, 2, 3, 5])
    // All are out again: there is room for one, at once.
    try await gate.enter()
    #expect(gate.waitingCount == 0)
  }
}
