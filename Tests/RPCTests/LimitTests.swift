import RPC
import Testing

@Suite(.timeLimit(.minutes(2))) struct LimitTests {
  @Test("a request over the server's limit is RESOURCE_EXHAUSTED, for every shape")
  func largeRequest() async throws {
    try await withServer(Echo.methods, configure: { $0.maxReceiveMessageBytes = 1000 }) {
      (_, client) async throws in
      let large = [UInt8](repeating: 1, count: 1001)
      #expect(try await client.unary(Echo.unary, Array(large.dropLast())).count == 1000)
      for _ in 0..<20 {
        #expect(
          await failureCode { _ = try await client.unary(Echo.unary, large) } == .resourceExhausted)
        #expect(
          await failureCode { _ = try await client.serverStreaming(Echo.expand, large).collect() }
            == .resourceExhausted)
        #expect(
          await failureCode {
            _ = try await client.clientStreaming(Echo.collect) { try await $0.write(large) }
          } == .resourceExhausted)
      }
      #expect(try await client.unary(Echo.unary, [1]) == [1])
    }
  }

  @Test("a response over the client's limit is RESOURCE_EXHAUSTED")
  func largeResponse() async throws {
    try await withServer(Echo.methods, configureClient: { $0.maxReceiveMessageBytes = 1000 }) {
      (_, client) async throws in
      let large = [UInt8](repeating: 1, count: 1001)
      #expect(
        await failureCode { _ = try await client.unary(Echo.unary, large) } == .resourceExhausted)
      #expect(try await client.unary(Echo.unary, [1]) == [1])
    }
  }

  @Test("what is too large to send is refused where it is sent")
  func largeSends() async throws {
    let methods: [MethodHandler] = [
      .unary("/t.T/Unary") { _, _ in [UInt8](repeating: 0, count: 101) },
      .serverStreaming("/t.T/Stream") { _, _, responses in
        try await responses.write([UInt8](repeating: 0, count: 101))
      },
    ]
    try await withServer(
      methods, configure: { $0.maxSendMessageBytes = 100 },
      configureClient: { $0.maxSendMessageBytes = 50 }
    ) { (_, client) async throws in
      let code = await failureCode { _ = try await client.unary("/t.T/Unary", []) }
      #expect(code == .resourceExhausted)
      let streamed = await failureCode {
        _ = try await client.serverStreaming("/t.T/Stream", []).collect()
      }
      #expect(streamed == .resourceExhausted)
      let own = await failureCode {
        _ = try await client.unary("/t.T/Unary", [UInt8](repeating: 0, count: 51))
      }
      #expect(own == .resourceExhausted)
    }
  }

  @Test("calls over the limit of calls are RESOURCE_EXHAUSTED, and room comes back")
  func concurrentCalls() async throws {
    let gate = OneShotSignal()
    let arrived = (0..<2).map { _ in OneShotSignal() }
    let methods: [MethodHandler] = [
      .unary("/t.T/Wait") { request, _ in
        arrived[Int(request[0])].send()
        await gate.wait()
        return request
      }
    ]
    try await withServer(methods, configure: { $0.maxConcurrentCalls = 2 }) {
      (server, client) async throws in
      async let first = client.unary("/t.T/Wait", [0])
      async let second = client.unary("/t.T/Wait", [1])
      for signal in arrived { await signal.wait() }
      #expect(server.activeCalls == 2)
      for _ in 0..<10 {
        #expect(
          await failureCode { _ = try await client.unary("/t.T/Wait", [0]) } == .resourceExhausted)
      }
      gate.send()
      #expect(try await [first, second] == [[0], [1]])
      // The server may learn a moment later than the client that a call has ended.
      while server.activeCalls > 0 { await Task.yield() }
      #expect(try await client.unary("/t.T/Wait", [1]) == [1])
    }
  }

  @Test("a connection with as many idle calls as there may be refuses one more, but no urgent one")
  func urgentCalls() async throws {
    let gate = OneShotSignal()
    let arrived = OneShotSignal()
    let methods: [MethodHandler] = [
      .unary("/t.T/Wait") { request, _ in
        arrived.send()
        await gate.wait()
        return request
      },
      .unary("/t.T/Help") { request, _ in request }.urgent(),
    ]
    try await withServer(
      methods, configure: { ($0.maxConcurrentCalls, $0.reservedCalls) = (1, 1) }
    ) { (_, client) async throws in
      async let idle = client.unary("/t.T/Wait", [1])
      await arrived.wait()
      let code = await failureCode { _ = try await client.unary("/t.T/Wait", [2]) }
      #expect(code == .resourceExhausted)
      #expect(try await client.unary("/t.T/Help", [3]) == [3])
      gate.send()
      #expect(try await idle == [1])
    }
  }

  @Test("requests over the limit of bytes in flight are RESOURCE_EXHAUSTED, and room comes back")
  func requestBytes() async throws {
    let gate = OneShotSignal()
    let arrived = OneShotSignal()
    let methods: [MethodHandler] = [
      .unary("/t.T/Wait") { request, _ in
        arrived.send()
        await gate.wait()
        return []
      }
    ]
    let half = [UInt8](repeating: 1, count: 6_000)
    try await withServer(
      methods,
      configure: {
        $0.maxReceiveMessageBytes = 10_000
        $0.maxRequestBytes = 10_000
      }
    ) { (server, client) async throws in
      async let first = client.unary("/t.T/Wait", half)
      await arrived.wait()
      #expect(server.requestBytes == half.count)
      let error = await failure { _ = try await client.unary("/t.T/Wait", half) }
      #expect(error?.code == .resourceExhausted)
      #expect(error?.message.contains("10000 bytes of requests") == true)
      gate.send()
      #expect(try await first == [])
      // The server may learn a moment later than the client that a call has ended.
      while server.activeCalls > 0 { await Task.yield() }
      #expect(server.requestBytes == 0)
      #expect(try await client.unary("/t.T/Wait", half) == [])
    }
  }

  @Test("with little memory for connections every call ends, if only cut off, and the server lives")
  func connectionMemory() async throws {
    try await withServer(Echo.methods, configure: { $0.maxConnectionBytes = 4 << 20 }) {
      (server, client) async throws in
      let large = [UInt8](repeating: 1, count: 1 << 20)
      let options = CallOptions(timeout: .seconds(20))
      await withTaskGroup(of: Void.self) { group in
        for _ in 0..<32 {
          group.addTask {
            _ = await failureCode {
              _ = try await client.unary(Echo.unary, large, options: options)
            }
          }
        }
      }
      let patient = CallOptions(timeout: .seconds(20), waitsForReady: true)
      #expect(try await client.unary(Echo.unary, [1], options: patient) == [1])
    }
  }

  @Test("headers over the limit end the call, not the server")
  func largeMetadata() async throws {
    try await withServer(Echo.methods, configure: { $0.maxMetadataBytes = 2000 }) {
      (_, client) async throws in
      let options = CallOptions(metadata: ["x-large": String(repeating: "x", count: 100_000)])
      let code = await failureCode { _ = try await client.unary(Echo.unary, [], options: options) }
      #expect(code != nil)
      #expect(try await client.unary(Echo.unary, [1]) == [1])
    }
  }

  @Test("settings out of range are refused with their name")
  func configuration() async throws {
    var configuration = ServerConfiguration(addresses: [.tcp(host: "127.0.0.1", port: 0)])
    configuration.maxReceiveMessageBytes = 0
    let error = try #require(
      await failure {
        _ = try Server(configuration: configuration, methods: [], logger: quietLogger)
      })
    #expect(error.code == .invalidArgument)
    #expect(error.message.contains("maxReceiveMessageBytes"))
    let twice = await failureCode {
      _ = try Server(
        configuration: ServerConfiguration(addresses: [.tcp(host: "127.0.0.1", port: 0)]),
        methods: Echo.methods + Echo.methods, logger: quietLogger)
    }
    #expect(twice == .invalidArgument)
  }
}
