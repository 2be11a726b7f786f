/// What a server needs to know before it starts.
public struct ServerConfiguration: Sendable {
  /// Where to listen. Port 0 takes a free one.
  public var addresses: [SocketAddress]
  /// How connections are secured.
  public var credentials: ServerCredentials = .insecure
  /// Completion queues, each with a thread; one a core is the most that helps.
  public var completionQueues: Int
  /// Calls that each queue is ready to take for each method before it has to ask for more.
  public var preregisteredCallsPerQueue = 200
  /// Longest message that is accepted, in bytes; a longer one ends its call with RESOURCE_EXHAUSTED.
  public var maxReceiveMessageBytes = 4 << 20
  /// Longest message that is sent, in bytes; a longer one ends its call with RESOURCE_EXHAUSTED.
  public var maxSendMessageBytes = 4 << 20
  /// Longest headers that are accepted, in bytes.
  public var maxMetadataBytes = 16 << 10
  /// Calls that may be under way at once; one more gets RESOURCE_EXHAUSTED.
  public var maxConcurrentCalls = 10_000
  /// Further calls that only methods marked as urgent may make.
  public var reservedCalls = 256
  /// Bytes of requests that running calls may hold together; a call beyond it gets
  /// RESOURCE_EXHAUSTED. At least one longest message, since one alone must be able to come in.
  public var maxRequestBytes = 256 << 20
  /// Memory that the connections' buffers may take together, in bytes; when it is short, clients may
  /// send less, and in the end calls are cut off.
  public var maxConnectionBytes = 512 << 20
  /// Bytes that wait in this process for one call's slow reader before its writer has to wait.
  public var writeWindowBytes = 64 << 10
  /// How dead connections are found and idle ones kept.
  public var keepalive = Keepalive()
  /// How long running calls may go on after `run` was told to stop.
  public var drainTimeout: Duration = .seconds(30)

  /// Makes a configuration with the defaults above and one queue a core.
  public init(addresses: [SocketAddress], completionQueues: Int? = nil) {
    self.addresses = addresses
    self.completionQueues = completionQueues ?? CPU.count
  }
}
