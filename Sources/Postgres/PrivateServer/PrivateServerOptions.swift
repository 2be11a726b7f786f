/// How a private server is set up.
public struct PrivateServerOptions: Sendable {
  /// The folder of PostgreSQL's programs; `nil` looks for the newest that is installed.
  public var binaryFolder: String?
  /// The user that the server runs as when this process is root's; `nil` is `postgres`.
  public var account: String?
  public var database: String
  public var maxConnections: Int
  public var sharedBuffersMebibytes: Int
  /// Whether a commit survives a power failure. Only tests turn it off; a commit survives the
  /// death of the server either way.
  public var isDurable: Bool
  /// The longest that a start may take, recovery after a crash included.
  public var startTimeout: Duration
  /// The longest that a fast shutdown may take before the server is made to quit.
  public var stopTimeout: Duration
  /// The pause before a server that died is started again; it doubles with every failure.
  public var initialBackoff: Duration
  public var maxBackoff: Duration

  public init(
    binaryFolder: String? = nil, account: String? = nil, database: String = "millrace",
    maxConnections: Int = 100, sharedBuffersMebibytes: Int = 128, isDurable: Bool = true,
    startTimeout: Duration = .seconds(120), stopTimeout: Duration = .seconds(30),
    initialBackoff: Duration = .milliseconds(100), maxBackoff: Duration = .seconds(10)
  ) {
    self.binaryFolder = binaryFolder
    self.account = account
    self.database = database
    self.maxConnections = maxConnections
    self.sharedBuffersMebibytes = sharedBuffersMebibytes
    self.isDurable = isDurable
    self.startTimeout = startTimeout
    self.stopTimeout = stopTimeout
    self.initialBackoff = initialBackoff
    self.maxBackoff = maxBackoff
  }

  /// The settings file, which is written anew at every start.
  func settings(socketFolder: String) -> String {
    """
    # Written by millrace at every start; changes here are lost.
    listen_addresses = ''
    port = 5432
    unix_socket_directories = '\(socketFolder.replacing("'", with: "''"))'
    unix_socket_permissions = 0700
    max_connections = \(maxConnections)
    shared_buffers = \(sharedBuffersMebibytes)MB
    fsync = \(isDurable ? "on" : "off")
    synchronous_commit = on
    full_page_writes = \(isDurable ? "on" : "off")
    wal_compression = on
    max_wal_size = 1GB
    min_wal_size = 80MB
    checkpoint_timeout = 10min
    checkpoint_completion_target = 0.9
    # Our statements are short: compiling them would cost more than running them.
    jit = off
    autovacuum = on
    autovacuum_naptime = 15s
    timezone = 'UTC'
    lc_messages = 'C'
    # One file a weekday, begun anew every week: at most seven.
    logging_collector = on
    log_directory = 'log'
    log_filename = 'server-%a.log'
    log_truncate_on_rotation = on
    log_rotation_age = 1d
    log_rotation_size = 0
    log_line_prefix = '%m [%p] '
    log_checkpoints = off
    log_min_messages = warning
    # Statements hold prompts; they stay out of the log.
    log_min_error_statement = panic
    log_parameter_max_length_on_error = 0

    """
  }
}
