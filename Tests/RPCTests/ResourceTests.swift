import Foundation
import RPC
import Testing

/// What this process holds of the system, by `/proc/self`.
private struct Resources {
  /// Thread pools that size themselves as they see fit, by the ends of their threads' names, of
  /// which the system keeps 15 characters: libdispatch's, then the gRPC core's.
  private static let pools = [
    "-qos", ".overcommit", "grpc_global_tim", "event_engine", "default-executo", "resolver-execut",
  ]

  /// Threads outside of those pools.
  let threads: Int
  let poolThreads: Int
  let descriptors: Int
  let residentKibibytes: Int

  init() throws {
    let names = try FileManager.default.contentsOfDirectory(atPath: "/proc/self/task").compactMap {
      // Nil for a thread that ended meanwhile.
      try? String(contentsOfFile: "/proc/self/task/\($0)/comm", encoding: .utf8)
        .trimmingCharacters(in: .newlines)
    }
    poolThreads = names.count { name in Self.pools.contains { name.hasSuffix($0) } }
    threads = names.count - poolThreads
    let status = try String(contentsOfFile: "/proc/self/status", encoding: .utf8)
    let line = try #require(status.split(separator: "\n").first { $0.hasPrefix("VmRSS:") })
    residentKibibytes = try #require(
      line.split(whereSeparator: { !$0.isNumber }).first.flatMap { Int($0) })
    descriptors = try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").count
  }

  /// Expects that the process holds no more than it did. The core lets go of some things a moment
  /// later; what leaks never goes away.
  static func expectLevel(with before: Resources, slackKibibytes: Int) async throws {
    var now = try Resources()
    let deadline = ContinuousClock.now + .seconds(30)
    let mostPoolThreads = before.poolThreads + 16
    while now.threads > before.threads || now.poolThreads > mostPoolThreads
      || now.descriptors > before.descriptors, ContinuousClock.now < deadline
    {
      await Task.yield()
      now = try Resources()
    }
    #expect(now.threads <= before.threads)
    #expect(now.poolThreads <= mostPoolThreads)
    #expect(now.descriptors <= before.descriptors)
    #expect(now.residentKibibytes <= before.residentKibibytes + slackKibibytes)
  }
}

@Suite struct ResourceTests {
  /// In a process of its own, so that no other test's threads are counted.
  @Test("thousands of calls and hundreds of cancelled streams leave everything level")
  func level() async {
    await #expect(processExitsWith: .success) {
      func load(_ client: Client, calls: Int, streams: Int) async throws {
        for _ in 0..<calls { _ = try await client.unary(Echo.unary, [1, 2, 3]) }
        for _ in 0..<streams {
          let stream = try client.serverStreaming("/t.T/Endless", [])
          let responses = stream.makeAsyncIterator()
          _ = try await responses.next()
          stream.cancel()
        }
      }
      let endless = MethodHandler.serverStreaming("/t.T/Endless") { _, _, responses in
        while true { try await responses.write([UInt8](repeating: 1, count: 1000)) }
      }
      try await withServer(Echo.methods + [endless]) { (server, client) async throws in
        try await load(client, calls: 500, streams: 50)
        while server.activeCalls > 0 { await Task.yield() }
        let before = try Resources()
        try await load(client, calls: 2000, streams: 200)
        while server.activeCalls > 0 { await Task.yield() }
        try await Resources.expectLevel(with: before, slackKibibytes: 4_096)
      }
    }
  }

  @Test("starts on an address that is taken fail 200 times and leave everything level")
  func takenAddress() async {
    await #expect(processExitsWith: .success) {
      let first = try Server(
        configuration: ServerConfiguration(
          addresses: [.tcp(host: "127.0.0.1", port: 0)], completionQueues: 2),
        methods: Echo.methods, logger: quietLogger)
      let address = try first.start()[0]
      func failToStart(_ times: Int) async throws {
        for _ in 0..<times {
          let second = try Server(
            configuration: ServerConfiguration(addresses: [address], completionQueues: 2),
            methods: Echo.methods, logger: quietLogger)
          #expect(await failureCode { try second.start() } == .unavailable)
        }
      }
      try await failToStart(20)
      let before = try Resources()
      try await failToStart(200)
      try await Resources.expectLevel(with: before, slackKibibytes: 8_192)
      // The one that has the address is as it was.
      let client = try Client(configuration: ClientConfiguration(address: address))
      #expect(try await client.unary(Echo.unary, [1]) == [1])
      await client.shutDown()
      await first.shutDownGracefully(within: .zero)
    }
  }

  @Test("servers and clients that come and go leave everything level")
  func comeAndGo() async {
    await #expect(processExitsWith: .success) {
      func round() async throws {
        try await withServer(Echo.methods) { (_, client) async throws in
          _ = try await client.unary(Echo.unary, [1])
          // Dropped without a word.
          let dropped = try Client(configuration: client.configuration)
          _ = try await dropped.unary(Echo.unary, [1])
        }
      }
      for _ in 0..<5 { try await round() }
      let before = try Resources()
      for _ in 0..<30 { try await round() }
      try await Resources.expectLevel(with: before, slackKibibytes: 8_192)
    }
  }
}
