/// How an executor holds its leases and feeds its engines.
public struct ExecutorConfiguration: Sendable {
  /// How long a lease outlives the last heartbeat. Jobs of a dead executor wait this long.
  public var leaseDuration: Duration
  /// How often leases are renewed; well under `leaseDuration`.
  public var heartbeatInterval: Duration
  /// How often the queue is looked at when no signal comes.
  public var pollInterval: Duration
  /// The engines pause while this many tokens wait to be committed (the database is away or slow).
  public var maxUncommittedTokens: Int
  /// The most jobs in one transaction of the write-back.
  public var maxJobsPerWrite: Int
  /// How far the engines' threads stand behind the machine's others, 0 to 19. Those that commit, read
  /// and stream tokens are among the others, and have little to do at a time.
  public var engineNiceness: Int

  public init(
    leaseDuration: Duration = .seconds(15), heartbeatInterval: Duration = .seconds(3),
    pollInterval: Duration = .seconds(1), maxUncommittedTokens: Int = 65_536,
    maxJobsPerWrite: Int = 512, engineNiceness: Int = 10
  ) {
    self.leaseDuration = leaseDuration
    self.heartbeatInterval = heartbeatInterval
    self.pollInterval = pollInterval
    self.maxUncommittedTokens = maxUncommittedTokens
    self.maxJobsPerWrite = maxJobsPerWrite
    self.engineNiceness = engineNiceness
  }
}
