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

  /// Expects that the process holds no more after a load than before. The core lets go of some things
  /// a moment later, and its buffers may grow once when it is held up; what leaks never goes away, and
  /// grows with each load.
  static func expectLevel(
    slackKibibytes: Int, loads: Int = 4, _ load: () async throws -> Void
  ) async throws {
    var growth: [Int] = []
    for _ in 0..<loads {
      let before = try Resources()
      try await load()
      let now = try await settled(before)
      let mostPoolThreads = before.poolThreads + slackPoolThreads
      #expect(now.threads <= before.threads)
      #expect(now.poolThreads <= mostPoolThreads)
      #expect(now.descriptors <= before.descriptors)
      growth.append(now.residentKibibytes - before.residentKibibytes)
      if growth.contains(where: { $0 <= slackKibibytes }) { return }
    }
    Issue.record("each load took more memory, in KiB: \(growth)")
  }

  private static let slackPoolThreads = 16

  /// What is held as soon as it is no more than before, or after a while.
  private static func settled(_ before: Resources) async throws -> Resources {
    var now = try Resources()
    let deadline = ContinuousClock.now + .seconds(30)
    while now.threads > before.threads || now.poolThreads > before.poolThreads + slackPoolThreads
      || now.descriptors > before.descriptors, ContinuousClock.now < deadline
    {
      await Task.yield()
      now = try Resources()
    }
    return now
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
        try await Resources.expectLevel(slackKibibytes: 4_096) {
          try await load(client, calls: 2000, streams: 200)
          while server.activeCalls > 0 { await Task.yield() }
        }
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
      try await Resources.expectLevel(slackKibibytes: 8_192) { try await failToStart(200) }
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
      try await Resources.expectLevel(slackKibibytes: 8_192) {
        for _ in 0..<30 { try await round() }
      }
    }
  }
}
