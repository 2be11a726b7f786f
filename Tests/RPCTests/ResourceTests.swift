import Foundation
import RPC
import Testing

/// What this process holds of the system, by `/proc/self`.
private struct Resources {
  let threads: Int
  let descriptors: Int
  let residentKibibytes: Int

  init() throws {
    let status = try String(contentsOfFile: "/proc/self/status", encoding: .utf8)
    func field(_ name: String) throws -> Int {
      let line = try #require(status.split(separator: "\n").first { $0.hasPrefix(name) })
      return try #require(line.split(whereSeparator: { !$0.isNumber }).first.flatMap { Int($0) })
    }
    threads = try field("Threads:")
    residentKibibytes = try field("VmRSS:")
    descriptors = try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").count
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
        let after = try Resources()
        #expect(after.threads <= before.threads + 1)
        #expect(after.descriptors <= before.descriptors)
        #expect(after.residentKibibytes <= before.residentKibibytes + 4096)
      }
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
      let after = try Resources()
      #expect(after.threads <= before.threads + 3)
      #expect(after.descriptors <= before.descriptors + 6)
      #expect(after.residentKibibytes <= before.residentKibibytes + 8192)
    }
  }
}
