import Foundation
import RPC
import Testing

@Suite struct LifecycleTests {
  private func makeServer(
    _ methods: [MethodHandler], address: SocketAddress = .tcp(host: "127.0.0.1", port: 0)
  ) throws -> Server {
    try Server(
      configuration: ServerConfiguration(addresses: [address], completionQueues: 2),
      methods: methods, logger: quietLogger)
  }

  @Test("a drain lets running calls end and takes no new ones")
  func drain() async throws {
    let began = OneShotSignal()
    let gate = OneShotSignal()
    let server = try makeServer([
      .unary("/t.T/Wait") { request, _ in
        began.send()
        await gate.wait()
        return request
      }
    ])
    let client = try Client(configuration: ClientConfiguration(address: try server.start()[0]))
    let running = Task { try await client.unary("/t.T/Wait", [5]) }
    await began.wait()
    let stopping = Task { await server.shutDownGracefully(within: .seconds(600)) }
    // The server refuses from some moment on; until then the call would wait at the gate.
    var refused = false
    while !refused {
      let options = CallOptions(timeout: .milliseconds(100))
      let code = await failureCode {
        _ = try await client.unary("/t.T/Wait", [6], options: options)
      }
      refused = code == .unavailable
    }
    gate.send()
    #expect(try await running.value == [5])
    await client.shutDown()
    await stopping.value
    #expect(server.activeCalls == 0)
  }

  @Test("at the end of the grace running calls are cancelled")
  func drainDeadline() async throws {
    let began = OneShotSignal()
    let cancelled = OneShotSignal()
    let server = try makeServer([
      .serverStreaming("/t.T/Wait") { _, _, _ in
        let never = OneShotSignal()
        began.send()
        await withTaskCancellationHandler {
          await never.wait()
        } onCancel: {
          never.send()
        }
        cancelled.send()
      }
    ])
    let client = try Client(configuration: ClientConfiguration(address: try server.start()[0]))
    let stream = try client.serverStreaming("/t.T/Wait", [])
    await began.wait()
    await server.shutDownGracefully(within: .milliseconds(10))
    #expect(cancelled.happened)
    #expect(await failureCode { _ = try await stream.collect() } != nil)
    await client.shutDown()
  }

  @Test("run serves until its task is cancelled")
  func runUntilCancelled() async throws {
    let server = try makeServer(Echo.methods)
    let address = try server.start()[0]
    let running = Task { try await server.run() }
    let client = try Client(configuration: ClientConfiguration(address: address))
    #expect(try await client.unary(Echo.unary, [1]) == [1])
    running.cancel()
    try await running.value
    #expect(await failureCode { _ = try await client.unary(Echo.unary, [1]) } == .unavailable)
    await client.shutDown()
  }

  @Test("run returns after a graceful stop, and a stop before the start is no start")
  func stops() async throws {
    let server = try makeServer(Echo.methods)
    try server.start()
    let running = Task { try await server.run() }
    await server.shutDownGracefully(within: .seconds(5))
    try await running.value
    await server.shutDownGracefully()
    #expect(await failureCode { try server.start() } == .failedPrecondition)

    let unstarted = try makeServer(Echo.methods)
    await unstarted.shutDownGracefully()
    #expect(await failureCode { try unstarted.start() } == .failedPrecondition)
  }

  @Test("a stream that is silent through many keepalive pings goes on")
  func idleStream() async throws {
    let methods: [MethodHandler] = [
      .unary("/t.T/Never") { _, context in
        // Ends when the client's deadline cancels it: that is how the test lets time pass.
        try await context.untilCancelled()
        return []
      }
    ]
    try await withServer(
      Echo.methods + methods, configureClient: { $0.keepalive.interval = .milliseconds(10) }
    ) { (server, client) async throws in
      let stream = try client.bidirectional(Echo.chat)
      let responses = stream.makeAsyncIterator()
      try await stream.write([1])
      #expect(try await responses.next() == [1])
      // Another connection, so that this one is silent. The core pings once a second at most, and
      // by default sends a client away at its third ping.
      let other = try Client(
        configuration: ClientConfiguration(target: client.configuration.target))
      let options = CallOptions(timeout: .milliseconds(5500))
      let code = await failureCode {
        _ = try await other.unary("/t.T/Never", [], options: options)
      }
      #expect(code == .deadlineExceeded)
      await other.shutDown()
      try await stream.write([2])
      #expect(try await responses.next() == [2])
    }
  }

  @Test("a port that is taken is a clear error")
  func takenPort() async throws {
    let server = try makeServer(Echo.methods)
    let address = try server.start()[0]
    let second = try makeServer(Echo.methods, address: address)
    let error = try #require(await failure { try second.start() })
    #expect(error.code == .unavailable)
    #expect(error.message.contains(address.description))
    await second.shutDownGracefully()
    await server.shutDownGracefully(within: .zero)
  }

  @Test("a unix socket that is served stays with its server; one left behind is taken")
  func unixSocket() async throws {
    try await withTemporaryFolder { folder in
      let address = SocketAddress.unix(path: folder.appending(path: "s").path)
      let server = try makeServer(Echo.methods, address: address)
      try server.start()
      let second = try makeServer([], address: address)
      let error = try #require(await failure { try second.start() })
      #expect(error.code == .unavailable)
      #expect(error.message.contains(address.description))
      await second.shutDownGracefully()
      let client = try Client(configuration: ClientConfiguration(address: address))
      #expect(try await client.unary(Echo.unary, [1]) == [1])
      await server.shutDownGracefully(within: .zero)
      #expect(try leaveSocket(at: address))
      let third = try makeServer(Echo.methods, address: address)
      try third.start()
      let patient = CallOptions(timeout: .seconds(60), waitsForReady: true)
      #expect(try await client.unary(Echo.unary, [2], options: patient) == [2])
      await client.shutDown()
      await third.shutDownGracefully(within: .zero)
    }
  }

  /// Leaves the file of a socket that nobody listens on, as a killed process does.
  private func leaveSocket(at address: SocketAddress) throws -> Bool {
    guard case .unix(let path) = address else { return false }
    var name = sockaddr_un()
    name.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &name.sun_path) { $0.copyBytes(from: Array(path.utf8)) }
    let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(descriptor) }
    return withUnsafePointer(to: &name) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) == 0
      }
    }
  }

  /// A server on a port that the system gives to nobody who does not ask for it by its number: of those
  /// below 32,768. Others cannot get it while no server has it.
  private func startOnPortOfItsOwn() throws -> (Server, SocketAddress) {
    var failure: any Error = CancellationError()
    for _ in 0..<100 {
      do {
        let address = SocketAddress.tcp(host: "127.0.0.1", port: Int.random(in: 15_000..<32_000))
        let server = try makeServer(Echo.methods, address: address)
        try server.start()
        return (server, address)
      } catch { failure = error }
    }
    throw failure
  }

  @Test("a client finds the server again that comes back on the same port")
  func reconnect() async throws {
    var (server, address) = try startOnPortOfItsOwn()
    var configuration = ClientConfiguration(address: address)
    configuration.initialReconnectBackoff = .milliseconds(20)
    configuration.maxReconnectBackoff = .milliseconds(50)
    let client = try Client(configuration: configuration)
    let patient = CallOptions(timeout: .seconds(60), waitsForReady: true)
    for round in 0..<4 {
      #expect(
        try await client.unary(Echo.unary, [UInt8(round)], options: patient) == [UInt8(round)])
      #expect(client.connectivityState() == .ready)
      await server.shutDownGracefully(within: .zero)
      #expect(await failureCode { _ = try await client.unary(Echo.unary, [1]) } == .unavailable)
      server = try makeServer(Echo.methods, address: address)
      try server.start()
    }
    await client.shutDown()
    #expect(client.connectivityState() == .shutdown)
    #expect(await failureCode { _ = try await client.unary(Echo.unary, [1]) } == .unavailable)
    await server.shutDownGracefully(within: .zero)
  }

  @Test("a client without a server is told so, or waits if it asked to")
  func noServer() async throws {
    let client = try Client(configuration: ClientConfiguration(target: "unix:/nonexistent/socket"))
    #expect(await failureCode { _ = try await client.unary(Echo.unary, [1]) } == .unavailable)
    let options = CallOptions(timeout: .milliseconds(50), waitsForReady: true)
    let code = await failureCode { _ = try await client.unary(Echo.unary, [1], options: options) }
    #expect(code == .deadlineExceeded)
    await client.shutDown()
  }

  @Test(
    "addresses are read as they are written",
    arguments: ["127.0.0.1:80", "[::1]:0", "unix:/run/x", "localhost:65535"])
  func addresses(text: String) {
    #expect(SocketAddress(text)?.description == text)
  }

  @Test("other texts are no addresses", arguments: ["", "host", "host:", ":1", "h:65536", "unix:"])
  func badAddresses(text: String) {
    #expect(SocketAddress(text) == nil)
  }
}

extension ServerContext {
  /// Waits until the call's task is cancelled.
  fileprivate func untilCancelled() async throws {
    let never = OneShotSignal()
    await withTaskCancellationHandler {
      await never.wait()
    } onCancel: {
      never.send()
    }
    try Task.checkCancellation()
  }
}
