import Foundation
import RPC
import Testing

@Suite struct CallShapeTests {
  enum Transport: String, CaseIterable, CustomTestStringConvertible {
    case tcp, unix

    var testDescription: String { rawValue }
  }

  private func withEcho(
    _ transport: Transport, _ body: @escaping (Client) async throws -> Void
  ) async throws {
    try await withTemporaryFolder { folder in
      try await withServer(
        Echo.methods,
        configure: { configuration in
          if transport == .unix {
            configuration.addresses = [.unix(path: folder.appending(path: "s").path)]
          }
        }
      ) { (_, client) async throws in try await body(client) }
    }
  }

  @Test("a unary call brings back what the handler returns", arguments: Transport.allCases)
  func unary(transport: Transport) async throws {
    try await withEcho(transport) { (client) async throws in
      for length in [0, 1, 64, 1000, 100_000, 1 << 20] {
        let request = (0..<length).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        #expect(try await client.unary(Echo.unary, request) == request)
      }
    }
  }

  @Test("a server stream arrives whole and in order", arguments: Transport.allCases)
  func serverStream(transport: Transport) async throws {
    try await withEcho(transport) { (client) async throws in
      for length in [0, 1, 5, 3000] {
        let request = (0..<length).map { UInt8(truncatingIfNeeded: $0) }
        let responses = try await client.serverStreaming(Echo.expand, request).collect()
        #expect(responses == request.map { [$0] })
      }
    }
  }

  @Test("a client stream arrives whole and in order", arguments: Transport.allCases)
  func clientStream(transport: Transport) async throws {
    try await withEcho(transport) { (client) async throws in
      for count in [0, 1, 500] {
        let joined = try await client.clientStreaming(Echo.collect) { stream in
          for index in 0..<count { try await stream.write([UInt8(truncatingIfNeeded: index), 7]) }
        }
        #expect(joined == (0..<count).flatMap { [UInt8(truncatingIfNeeded: $0), 7] })
      }
    }
  }

  @Test("a bidirectional call answers each message before the next", arguments: Transport.allCases)
  func bidirectional(transport: Transport) async throws {
    try await withEcho(transport) { (client) async throws in
      let stream = try client.bidirectional(Echo.chat)
      let responses = stream.makeAsyncIterator()
      for index in 0..<200 {
        let message = [UInt8(truncatingIfNeeded: index), 1, 2]
        try await stream.write(message)
        #expect(try await responses.next() == message)
      }
      stream.finishWriting()
      #expect(try await responses.next() == nil)
    }
  }

  @Test("hundreds of calls at once each get their own answer")
  func concurrent() async throws {
    try await withServer(Echo.methods) { (_, client) async throws in
      try await withThrowingTaskGroup(of: Bool.self) { group in
        for index in 0..<600 {
          group.addTask {
            let request = withUnsafeBytes(of: index) { Array($0) }
            return try await client.unary(Echo.unary, request) == request
          }
        }
        for try await equal in group { #expect(equal) }
      }
    }
  }

  @Test("a handler that waits for other tasks goes on", arguments: [true, false])
  func suspending(onQueueThread: Bool) async throws {
    let gate = OneShotSignal()
    let placement: MethodHandler.Placement = onQueueThread ? .queueThread : .globalExecutor
    let methods: [MethodHandler] = [
      .unary("/t.T/Wait", on: placement) { request, _ in
        await gate.wait()
        return request
      },
      .unary("/t.T/Open", on: placement) { request, _ in
        gate.send()
        return request
      },
    ]
    try await withServer(methods, configure: { $0.completionQueues = 1 }) {
      (_, client) async throws in
      async let waiting = client.unary("/t.T/Wait", [1])
      _ = try await client.unary("/t.T/Open", [2])
      #expect(try await waiting == [1])
    }
  }
}
