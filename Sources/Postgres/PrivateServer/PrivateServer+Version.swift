extension PrivateServer {
  /// The version of PostgreSQL that a new private server would run, such as `15`.
  /// - Throws: `PostgresError.Code.privateServer`, with the remedy, where there is none.
  public static func installedVersion() throws -> Int {
    try ServerBinaries.find(in: nil, version: nil).version
  }
}
