/// How dead connections are found and long idle streams kept alive.
///
/// The core has five settings for this, and its defaults close a stream that is silent for hours: a
/// peer that pings more often than its partner allows is cut off. So they are set together, on both
/// sides, from these three.
public struct Keepalive: Sendable, Hashable {
  /// How long a connection may be silent before it is pinged.
  public var interval: Duration = .seconds(60)
  /// How long the answer to a ping may take.
  public var timeout: Duration = .seconds(20)
  /// Whether connections without calls are pinged too.
  public var evenWithoutCalls = true
  /// For servers: the shortest interval at which clients may ping.
  public var minimumPeerInterval: Duration = .seconds(5)

  /// Makes the default settings: a ping after a minute of silence.
  public init() {}
}
