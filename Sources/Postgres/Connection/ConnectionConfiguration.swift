/// How to reach the server, and how long to wait for it.
public struct ConnectionConfiguration: Sendable {
  /// A connection string as libpq reads it: `postgresql://…` or `host=… dbname=…`.
  public var connectionString: String
  /// The longest that making a connection may take.
  public var connectTimeout: Duration
  /// The longest that one statement may run on the server; `nil` is without limit.
  public var statementTimeout: Duration?
  /// Shown in `pg_stat_activity`.
  public var applicationName: String
  /// Settings of the session besides, by their names in the server's configuration. They win over
  /// those of the connection string, the role and the database.
  public var settings: [String: String]
  /// Whether commits wait for the disk also where the server, or the connection string, would have
  /// `synchronous_commit` off.
  public var isDurable: Bool
  /// How long beyond `statementTimeout` the server may stay silent, and how long after a cancel
  /// request, before the connection is given up. A server that is stopped, or whose machine is
  /// gone, ends no statement.
  public var responseGracePeriod: Duration

  public init(
    connectionString: String, connectTimeout: Duration = .seconds(10),
    statementTimeout: Duration? = nil, applicationName: String = "millrace",
    settings: [String: String] = [:], isDurable: Bool = false,
    responseGracePeriod: Duration = .seconds(5)
  ) {
    self.connectionString = connectionString
    self.connectTimeout = connectTimeout
    self.statementTimeout = statementTimeout
    self.applicationName = applicationName
    self.settings = settings
    self.isDurable = isDurable
    self.responseGracePeriod = responseGracePeriod
  }

  /// The longest that the server may stay silent during a statement; `nil` is without limit.
  var responseTimeout: Duration? { statementTimeout.map { $0 + responseGracePeriod } }

  /// Keywords and values for `PQconnectStartParams`. The connection string, which stands in the
  /// place of `dbname`, wins over those before it. Of several servers the one that takes writes is
  /// meant; a standby is refused.
  ///
  /// A peer that vanished without a word is noticed within about a minute, by TCP's keepalive and
  /// its limit on unacknowledged data.
  var parameters: [(String, String)] {
    [
      ("fallback_application_name", applicationName), ("target_session_attrs", "read-write"),
      ("keepalives_idle", "30"), ("keepalives_interval", "10"), ("keepalives_count", "3"),
      ("tcp_user_timeout", "60000"), ("dbname", connectionString),
    ]
  }

  /// Brings a new session to the settings that the program relies on, whatever the connection
  /// string, the role, the database and the server's configuration say.
  func sessionScript(serverVersion: Int32) -> String {
    var values = [
      "client_encoding": "UTF8", "datestyle": "ISO", "standard_conforming_strings": "on",
      "default_transaction_isolation": "read committed", "lock_timeout": "0",
      "statement_timeout": String(statementTimeout.map { Int($0 / .milliseconds(1)) } ?? 0),
    ]
    if serverVersion >= 140_000 { values["idle_session_timeout"] = "0" }
    if serverVersion >= 170_000 { values["transaction_timeout"] = "0" }
    values.merge(settings) { _, own in own }
    var lines = values.sorted { $0.key < $1.key }.map { name, value in
      "SET \(name) = '\(value.replacing("'", with: "''"))';"
    }
    if isDurable {
      lines.append(
        "SELECT set_config('synchronous_commit', 'on', false) "
          + "WHERE current_setting('synchronous_commit') = 'off';")
    }
    return lines.joined(separator: "\n")
  }
}
