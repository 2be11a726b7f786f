/// What a client needs to know about its connection.
public struct ClientConfiguration: Sendable {
  /// The server: `HOST:PORT`, `unix:PATH` or any other target of gRPC, such as `dns:///HOST:PORT`.
  public var target: String
  /// How the connection is secured.
  public var credentials: ClientCredentials = .insecure
  /// The name that the server's certificate must bear, when it is not the target's.
  public var serverNameOverride: String?
  /// Longest response that is accepted, in bytes; a longer one ends its call with RESOURCE_EXHAUSTED.
  public var maxReceiveMessageBytes = 4 << 20
  /// Longest request that is sent, in bytes.
  public var maxSendMessageBytes = 4 << 20
  /// Longest headers or trailers that are accepted, in bytes. An error's details are in the trailers.
  public var maxMetadataBytes = 64 << 10
  /// Bytes of requests that wait in this process for one call's slow server.
  public var writeWindowBytes = 64 << 10
  /// How long the first wait is between two attempts to connect; it then grows.
  public var initialReconnectBackoff: Duration = .milliseconds(200)
  /// How long one attempt to connect may take, until the server's first words.
  public var connectTimeout: Duration = .seconds(20)
  /// The longest wait between two attempts to connect.
  public var maxReconnectBackoff: Duration = .seconds(10)
  /// How dead connections are found and idle ones kept.
  public var keepalive = Keepalive()
  /// Whether the environment's `http_proxy` is used; services of one house rarely want that.
  public var usesProxyOfEnvironment = false

  /// Makes a configuration with the defaults above.
  public init(target: String) {
    self.target = target
  }

  /// Makes a configuration for an address.
  public init(address: SocketAddress) {
    self.init(target: address.description)
  }
}
