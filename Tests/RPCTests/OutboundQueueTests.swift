import RPC
import Testing

@Suite struct OutboundQueueTests {
  typealias Batch = OutboundQueue.Batch

  @Test("a lone message leaves at once, with the headers, and unmarked")
  func loneMessage() {
    var queue = OutboundQueue(windowBytes: 1000)
    #expect(queue.append([1]) == .taken(Batch(headers: true, message: [1])))
    #expect(queue.sent() == nil)
    #expect(queue.append([2]) == .taken(Batch(message: [2])))
  }

  @Test("messages that wait follow one another, marked but for the last")
  func waitingMessages() {
    var queue = OutboundQueue(windowBytes: 1000)
    #expect(queue.append([1]) == .taken(Batch(headers: true, message: [1])))
    #expect(queue.append([2]) == .taken(nil))
    #expect(queue.append([3]) == .taken(nil))
    #expect(queue.sent() == Batch(message: [2], moreFollows: true))
    #expect(queue.sent() == Batch(message: [3]))
    #expect(queue.sent() == nil)
  }

  @Test("the end goes together with the last message")
  func end() {
    var queue = OutboundQueue(windowBytes: 1000)
    #expect(queue.finish(with: [9]) == Batch(headers: true, message: [9], end: true))
    #expect(queue.endIsOnItsWay)
    #expect(queue.append([1]) == .refused)
    #expect(queue.sent() == nil)

    var other = OutboundQueue(windowBytes: 1000)
    #expect(other.append([1]) == .taken(Batch(headers: true, message: [1])))
    #expect(other.append([2]) == .taken(nil))
    #expect(other.finish() == nil)
    #expect(other.sent() == Batch(message: [2], end: true))
  }

  @Test("headers may leave ahead, once")
  func headers() {
    var queue = OutboundQueue(windowBytes: 1000)
    #expect(queue.sendHeaders() == Batch(headers: true))
    #expect(queue.sendHeaders() == nil)
    #expect(queue.append([1]) == .taken(nil))
    #expect(queue.sent() == Batch(message: [1]))
    #expect(queue.sendHeaders() == nil)
  }

  @Test("over its window the queue is full until half of it is free")
  func window() {
    var queue = OutboundQueue(windowBytes: 4 * OutboundQueue.messageOverheadBytes)
    _ = queue.append([])
    for _ in 0..<4 { #expect(queue.append([]) == .taken(nil)) }
    #expect(queue.append([]) == .takenButFull(nil))
    #expect(!queue.hasRoom)
    _ = queue.sent()
    _ = queue.sent()
    #expect(!queue.isFull)
    #expect(!queue.hasRoom)
    _ = queue.sent()
    #expect(queue.hasRoom)
  }

  @Test("a backlog that never empties takes up no more room in time")
  func steadyBacklog() {
    let backlog = 100
    var queue = OutboundQueue(windowBytes: 1 << 20)
    for _ in 0..<backlog { _ = queue.append([]) }
    var most = 0
    for round in 0..<1_000_000 {
      _ = queue.append([UInt8(truncatingIfNeeded: round)])
      _ = queue.sent()
      most = max(most, queue.places)
    }
    #expect(most <= 2 * backlog + 2)
    // The last of them is still the one that leaves last.
    var last: Batch?
    while let batch = queue.sent() { last = batch }
    #expect(last?.message == [UInt8(truncatingIfNeeded: 999_999)])
  }

  @Test("after the close nothing is sent")
  func close() {
    var queue = OutboundQueue(windowBytes: 1000)
    _ = queue.append([1])
    _ = queue.append([2])
    queue.close()
    #expect(queue.sent() == nil)
    #expect(queue.append([3]) == .refused)
    #expect(queue.finish() == nil)
    #expect(queue.sendHeaders() == nil)
  }
}
