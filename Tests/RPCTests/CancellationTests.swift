import RPC
import Testing

@Suite struct CancellationTests {
  /// A method that waits until its task is cancelled, and says when it began and when it ended.
  private final class Waiter: Sendable {
    let began = OneShotSignal()
    let cancelled = OneShotSignal()

    func waitForCancellation() async throws {
      let never = OneShotSignal()
      began.send()
      await withTaskCancellationHandler {
        await never.wait()
      } onCancel: {
        never.send()
      }
      cancelled.send()
      try Task.checkCancellation()
    }
  }

  enum Ending: CaseIterable {
    case clientCancels, clientTaskCancelled, streamDropped, deadline, clientShutsDown
  }

  @Test(
    "whichever way a client leaves, the handler's task is cancelled", arguments: Ending.allCases)
  func handlerIsCancelled(ending: Ending) async throws {
    let waiter = Waiter()
    let methods: [MethodHandler] = [
      .serverStreaming("/t.T/Wait") { _, _, _ in try await waiter.waitForCancellation() }
    ]
    try await withServer(methods) { (_, client) async throws in
      switch ending {
      case .clientCancels:
        let stream = try client.serverStreaming("/t.T/Wait", [])
        await waiter.began.wait()
        stream.cancel()
        #expect(await failureCode { _ = try await stream.collect() } == .cancelled)
      case .clientTaskCancelled:
        let task = Task { try await client.serverStreaming("/t.T/Wait", []).collect() }
        await waiter.began.wait()
        task.cancel()
        #expect(await failureCode { _ = try await task.value } == .cancelled)
      case .streamDropped:
        _ = try client.serverStreaming("/t.T/Wait", [])
        // A call may be dropped before the server has seen it at all; this one has been seen.
        let seen = try client.serverStreaming("/t.T/Wait", [])
        await waiter.began.wait()
        withExtendedLifetime(seen) {}
      case .deadline:
        let options = CallOptions(timeout: .milliseconds(200))
        let stream = try client.serverStreaming("/t.T/Wait", [], options: options)
        #expect(await failureCode { _ = try await stream.collect() } == .deadlineExceeded)
        if !waiter.began.happened { return }
      case .clientShutsDown:
        let stream = try client.serverStreaming("/t.T/Wait", [])
        await waiter.began.wait()
        await client.shutDown()
        #expect(await failureCode { _ = try await stream.collect() } == .cancelled)
      }
      await waiter.cancelled.wait()
    }
  }

  @Test("a deadline ends a unary call on both sides")
  func unaryDeadline() async throws {
    let waiter = Waiter()
    let methods: [MethodHandler] = [
      .unary("/t.T/Wait") { _, _ in
        try await waiter.waitForCancellation()
        return []
      }
    ]
    try await withServer(methods) { (_, client) async throws in
      // Long enough to reach the handler first; the outcome is the same if it does not.
      let options = CallOptions(timeout: .milliseconds(300))
      let code = await failureCode { _ = try await client.unary("/t.T/Wait", [], options: options) }
      #expect(code == .deadlineExceeded)
      if waiter.began.happened { await waiter.cancelled.wait() }
    }
  }

  @Test("a deadline that has passed fails at once")
  func pastDeadline() async throws {
    try await withServer(Echo.methods) { (_, client) async throws in
      let options = CallOptions(timeout: .zero)
      let code = await failureCode { _ = try await client.unary(Echo.unary, [], options: options) }
      #expect(code == .deadlineExceeded)
    }
  }

  @Test("a cancel in the middle of a write wakes the writer with an error")
  func cancelWhileWriting() async throws {
    let writing = OneShotSignal()
    let ended = OneShotSignal()
    let errors = Counter()
    let methods: [MethodHandler] = [
      .serverStreaming("/t.T/Flood") { _, _, responses in
        let message = [UInt8](repeating: 7, count: 32 << 10)
        do {
          while true {
            try await responses.write(message)
            writing.send()
          }
        } catch let error as RPCError where error.code == .cancelled {
          errors.add()
          // The call is over for good.
          do { try await responses.write([1]) } catch { errors.add() }
        } catch is CancellationError {
          errors.add(2)
        }
        ended.send()
      }
    ]
    try await withServer(methods) { (server, client) async throws in
      let stream = try client.serverStreaming("/t.T/Flood", [])
      await writing.wait()
      stream.cancel()
      await ended.wait()
      #expect(errors.count == 2)
      #expect(await failureCode { _ = try await stream.collect() } == .cancelled)
    }
  }

  @Test("a reader of requests sees a cancelled stream as an error, never as its end")
  func cancelWhileReading() async throws {
    let reading = OneShotSignal()
    let ended = OneShotSignal()
    let endedWell = Counter()
    let methods: [MethodHandler] = [
      .clientStreaming("/t.T/Collect") { requests, _ in
        defer { ended.send() }
        for try await _ in requests { reading.send() }
        endedWell.add()
        return []
      }
    ]
    for _ in 0..<20 {
      try await withServer(methods) { (_, client) async throws in
        let stream = try client.bidirectional("/t.T/Collect")
        try await stream.write([1])
        await reading.wait()
        stream.cancel()
        await ended.wait()
      }
    }
    #expect(endedWell.count == 0)
  }

  @Test("cancelling a child task that waits in a write leaves the call alive")
  func cancelledWait() async throws {
    let methods: [MethodHandler] = [
      .serverStreaming("/t.T/Race") { _, _, responses in
        let stuck = OneShotSignal()
        await withTaskGroup(of: Void.self) { group in
          group.addTask {
            let message = [UInt8](repeating: 7, count: 64 << 10)
            for index in 0..<4096 {
              if index == 1 { stuck.send() }
              do { try await responses.write(message) } catch { return }
            }
          }
          await stuck.wait()
          group.cancelAll()
        }
        try await responses.write([42])
      }
    ]
    try await withServer(methods) { (_, client) async throws in
      let messages = try await client.serverStreaming("/t.T/Race", []).collect()
      #expect(messages.last == [42])
    }
  }
}
