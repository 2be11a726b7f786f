extension PrivateServer {
  /// The version of PostgreSQL that a new private server would run, such as `15`.
  /// - Throws: `PostgresError.Code.privateServer`, with the remedy, where there is none.
  public static func installedVersion() throws -> Int {
    try ServerBinaries.find(in: nil, version: nil).version
  }

  /// Whether the folder holds a server's data already; looking changes nothing.
  public var isSetUp: Bool { folder.dataVersion != nil }

  /// Checks that the user who runs the server can pass through the folders above its data, without
  /// changing anything. A start checks the same.
  /// - Throws: `PostgresError.Code.privateServer`, with the remedy, where it cannot.
  public func checkReachable() throws {
    try account.checkReachable(folder.data)
  }
}
