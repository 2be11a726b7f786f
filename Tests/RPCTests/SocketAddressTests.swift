import RPC
import Testing

@Suite struct SocketAddressTests {
  @Test(
    "an address is read and written back",
    arguments: [
      "127.0.0.1:50051", "localhost:0", "[::1]:65535", "unix:/run/s", "unix:relative/s",
    ])
  func valid(text: String) throws {
    #expect(try #require(SocketAddress(text)).description == text)
  }

  @Test(
    "what is no address is refused",
    arguments: [
      "", ":", "host", "host:", ":1", "host:65536", "host:-1", "host:x", "[::1", "[::1:1", "::1]:1",
      "[]:1", "a b:1", "http://host:1", "unix:",
    ])
  func invalid(text: String) {
    #expect(SocketAddress(text) == nil)
  }
}
