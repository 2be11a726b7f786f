import RPC
import Testing

@Suite("The count of calls that are let in")
struct CallLoadTests {
  private static func load() -> CallLoad {
    var configuration = ServerConfiguration(addresses: [])
    configuration.maxConcurrentCalls = 2
    configuration.reservedCalls = 1
    configuration.maxRequestBytes = 10_000
    return CallLoad(configuration)
  }

  private static func share(_ bytes: Int = 0, isUrgent: Bool = false) -> CallLoad.Share {
    CallLoad.Share(isUrgent: isUrgent, requestBytes: bytes)
  }

  @Test("keeps places that only urgent calls may take")
  func reserve() {
    var load = Self.load()
    #expect(load.take(Self.share()) == nil)
    #expect(load.take(Self.share(isUrgent: true)) == nil)
    #expect(load.take(Self.share()) == .calls)
    #expect(load.take(Self.share(isUrgent: true)) == nil)
    #expect(load.take(Self.share(isUrgent: true)) == .calls)
    load.give(Self.share(isUrgent: true))
    #expect(load.take(Self.share()) == .calls)
    load.give(Self.share(isUrgent: true))
    #expect(load.take(Self.share()) == nil)
  }

  @Test("bounds the bytes of requests, which small ones pass")
  func bytes() {
    var load = Self.load()
    #expect(load.take(Self.share(9_000)) == nil)
    #expect(load.take(Self.share(5_000)) == .requestBytes)
    #expect(load.take(Self.share(5_000, isUrgent: true)) == .requestBytes)
    #expect(load.take(Self.share(1_001)) == nil)
    load.give(Self.share(9_000))
    #expect(load.requestBytes == 1_001 && load.calls == 1)
    #expect(load.take(Self.share(8_999)) == nil)
  }
}
