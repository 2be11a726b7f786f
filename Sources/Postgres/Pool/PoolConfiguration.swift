/// The limits of a pool.
public struct PoolConfiguration: Sendable {
  /// Connections that are kept open also when nobody needs them.
  public var minConnections: Int
  public var maxConnections: Int
  /// Callers that may wait for a connection at once; more are refused.
  public var maxWaiters: Int
  /// The longest that a caller waits for a connection.
  public var waitTimeout: Duration
  /// Idle connections beyond the minimum are closed after this time.
  public var idleTimeout: Duration
  /// Idle connections are tried out after this time.
  public var checkInterval: Duration
  /// The pause before the first new attempt after a failed one; it doubles with every failure.
  public var initialBackoff: Duration
  public var maxBackoff: Duration

  public init(
    minConnections: Int = 1, maxConnections: Int = 8, maxWaiters: Int = 1_000,
    waitTimeout: Duration = .seconds(5), idleTimeout: Duration = .seconds(300),
    checkInterval: Duration = .seconds(30), initialBackoff: Duration = .milliseconds(50),
    maxBackoff: Duration = .seconds(2)
  ) {
    self.minConnections = min(max(minConnections, 0), max(maxConnections, 1))
    self.maxConnections = max(maxConnections, 1)
    self.maxWaiters = max(maxWaiters, 0)
    self.waitTimeout = waitTimeout
    self.idleTimeout = idleTimeout
    self.checkInterval = checkInterval
    self.initialBackoff = initialBackoff
    self.maxBackoff = maxBackoff
  }
}
