import Foundation

/// Which database to use; `serve`, `migrate` and `doctor` all read it in this way.
struct DatabaseSettings {
  /// A database of the user's own; `nil` for the private one.
  let url: String?
  /// The data folder, which holds the private database.
  let folder: String
  /// The system user that runs the private database when this is root; `nil` for `postgres`.
  let user: String?

  /// The private database's folder.
  var privateFolder: String { folder + "/postgres" }

  init(
    _ source: inout SettingsSource, url: String?, folder: String?, user: String?
  ) throws(CommandFailure) {
    self.folder =
      source.string("data-dir", flag: folder, default: Self.standardFolder(source.home))
      ?? Self.standardFolder(source.home)
    self.url = source.string(
      "database-url", flag: url, unset: "the private one", isSecret: true)
    self.user = source.string("database-user", flag: user, unset: "postgres, where this is root")
    if let url = self.url { try Self.check(url, name: source.name(of: "database-url")) }
    guard self.folder != "" else {
      throw CommandFailure("\(source.name(of: "data-dir")) is empty; name a folder")
    }
  }

  /// For root a folder that the user `postgres` can reach, which root's home is not.
  private static func standardFolder(_ home: String) -> String {
    geteuid() == 0 ? "/var/lib/millrace" : "\(home)/.local/share/millrace"
  }

  /// Refuses what is no connection string of PostgreSQL, without repeating its password.
  private static func check(_ url: String, name: String) throws(CommandFailure) {
    let form = "give postgresql://USER@HOST/DATABASE, or words like host=HOST dbname=DATABASE"
    guard !url.isEmpty else {
      throw CommandFailure("\(name) is empty; leave it out for the private database")
    }
    if let scheme = url.firstRange(of: "://").map({ String(url[..<$0.lowerBound]) }),
      !scheme.contains("=")
    {
      guard ["postgresql", "postgres"].contains(scheme) else {
        throw CommandFailure(
          "\(name) begins with \(scheme.prefix(32))://, but Millrace keeps its jobs in PostgreSQL: "
            + form)
      }
      return
    }
    guard url.contains("=") else {
      throw CommandFailure("\(name) is no connection string of PostgreSQL: \(form)")
    }
  }
}
