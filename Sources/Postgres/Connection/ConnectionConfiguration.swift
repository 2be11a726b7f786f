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
  /// Settings of the session besides, by their names in the server's configuration. The values may
  /// hold no spaces.
  public var settings: [String: String]

  public init(
    connectionString: String, connectTimeout: Duration = .seconds(10),
    statementTimeout: Duration? = nil, applicationName: String = "millrace",
    settings: [String: String] = [:]
  ) {
    self.connectionString = connectionString
    self.connectTimeout = connectTimeout
    self.statementTimeout = statementTimeout
    self.applicationName = applicationName
    self.settings = settings
  }

  /// Keywords and values for `PQconnectStartParams`; later ones win over the connection string,
  /// which stands in the place of `dbname`.
  ///
  /// A peer that vanished without a word is noticed within about a minute, by TCP's keepalive and
  /// its limit on unacknowledged data.
  var parameters: [(String, String)] {
    var options = "-c client_encoding=UTF8 -c DateStyle=ISO"
    if let statementTimeout {
      options += " -c statement_timeout=\(Int(statementTimeout / .milliseconds(1)))"
    }
    for (name, value) in settings.sorted(by: { $0.key < $1.key }) {
      options += " -c \(name)=\(value)"
    }
    return [
      ("fallback_application_name", applicationName),
      ("keepalives_idle", "30"), ("keepalives_interval", "10"), ("keepalives_count", "3"),
      ("tcp_user_timeout", "60000"), ("options", options),
      ("dbname", connectionString),
    ]
  }
}
