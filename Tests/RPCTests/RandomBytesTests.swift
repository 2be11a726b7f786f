import Foundation
import RPC
import Testing

@Suite struct RandomBytesTests {
  private static let seeds: [UInt64] = [1, 2, 3]

  @Test("any bytes go through every shape unchanged", arguments: seeds)
  func messages(seed: UInt64) async throws {
    var generator = SplitMix(state: seed)
    try await withServer(Echo.methods) { (_, client) async throws in
      for _ in 0..<200 {
        let bytes = generator.bytes(upTo: 3000)
        #expect(try await client.unary(Echo.unary, bytes) == bytes, "seed \(seed)")
        #expect(
          try await client.clientStreaming(Echo.collect) { try await $0.write(bytes) } == bytes)
      }
    }
  }

  @Test("bytes that are no HTTP/2 at all do not hurt the server", arguments: seeds)
  func connections(seed: UInt64) async throws {
    var generator = SplitMix(state: seed)
    try await withTemporaryFolder { folder in
      let path = folder.appending(path: "s").path
      try await withServer(Echo.methods, configure: { $0.addresses = [.unix(path: path)] }) {
        (_, client) async throws in
        for index in 0..<100 {
          // Half of them begin like a client of HTTP/2.
          let start = index % 2 == 0 ? Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8) : []
          try sendRaw(start + generator.bytes(upTo: 500), toSocket: path)
        }
        #expect(try await client.unary(Echo.unary, [1]) == [1])
      }
    }
  }
}

/// Connects to a unix socket, sends the bytes and closes.
private func sendRaw(_ bytes: [UInt8], toSocket path: String) throws {
  let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
  try #require(descriptor >= 0)
  defer { close(descriptor) }
  var address = sockaddr_un()
  address.sun_family = sa_family_t(AF_UNIX)
  withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
  let connected = withUnsafePointer(to: &address) { pointer in
    pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
      connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
    }
  }
  try #require(connected == 0)
  // The server may close before all is sent: that is an answer too.
  _ = send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL))
}

/// A small generator with a seed (Steele, Lea and Flood: "Fast splittable pseudorandom number
/// generators").
private struct SplitMix: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var value = state
    value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
    value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
    return value ^ (value >> 31)
  }

  mutating func bytes(upTo limit: Int) -> [UInt8] {
    let count = Int.random(in: 0...limit, using: &self)
    return (0..<count).map { _ in UInt8.random(in: 0...255, using: &self) }
  }
}
