import RPC
import Testing

@Suite struct BackpressureTests {
  @Test("a reader that stops holds up its own writer and nobody else")
  func slowReader() async throws {
    let messageBytes = 16 << 10
    let messages = 4096
    let written = Counter()
    let methods: [MethodHandler] = [
      .serverStreaming("/t.T/Flood") { _, _, responses in
        for _ in 0..<messages {
          try await responses.write([UInt8](repeating: 1, count: messageBytes))
          written.add()
        }
      }
    ]
    try await withServer(methods + Echo.methods) { (_, client) async throws in
      let slow = try client.serverStreaming("/t.T/Flood", [])
      let responses = slow.makeAsyncIterator()
      #expect(try await responses.next()?.count == messageBytes)
      // Others go on, on the same connection.
      let request = [UInt8](repeating: 3, count: 2000)
      for _ in 0..<200 { #expect(try await client.unary(Echo.unary, request) == request) }
      let other = try await client.serverStreaming(Echo.expand, request).collect()
      #expect(other.count == request.count)
      // 64 MiB were to be written; flow control lets only its windows through.
      #expect(written.count < messages / 2)
      var received = 1
      while try await responses.next() != nil { received += 1 }
      #expect(received == messages)
      #expect(written.count == messages)
    }
  }

  @Test("a server that stops reading holds up the client's writer")
  func slowServer() async throws {
    let goOn = OneShotSignal()
    let written = Counter()
    let messages = 2048
    let methods: [MethodHandler] = [
      .clientStreaming("/t.T/Sink") { requests, _ in
        await goOn.wait()
        var count = 0
        for try await _ in requests { count += 1 }
        return [UInt8](repeating: 0, count: count)
      }
    ]
    try await withServer(methods + Echo.methods) { (_, client) async throws in
      async let answer = client.clientStreaming("/t.T/Sink") { stream in
        for _ in 0..<messages {
          try await stream.write([UInt8](repeating: 1, count: 16 << 10))
          written.add()
        }
      }
      for _ in 0..<200 { #expect(try await client.unary(Echo.unary, [1]) == [1]) }
      #expect(written.count < messages)
      goOn.send()
      #expect(try await answer.count == messages)
    }
  }
}
