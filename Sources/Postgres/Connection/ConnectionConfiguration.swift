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

  public init(
    connectionString: String, connectTimeout: Duration = .seconds(10),
    statementTimeout: Duration? = nil, applicationName: String = "millrace"
  ) {
    self.connectionString = connectionString
    self.connectTimeout = connectTimeout
    self.statementTimeout = statementTimeout
    self.applicationName = applicationName
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
    return [
      ("fallback_application_name", applicationName),
      ("keepalives_idle", "30"), ("keepalives_interval", "10"), ("keepalives_count", "3"),
      ("tcp_user_timeout", "60000"), ("options", options),
      ("dbname", connectionString),
    ]
  }
}
