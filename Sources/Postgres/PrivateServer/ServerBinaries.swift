import Foundation

/// Where PostgreSQL's own programs are.
struct ServerBinaries: Sendable {
  static let minVersion = 14

  /// The folder that holds `postgres` and `initdb`.
  var folder: String
  /// The major version.
  var version: Int

  var postgres: String { folder + "/postgres" }
  var initdb: String { folder + "/initdb" }

  /// Finds them: the folder given, or the newest version among the folders of `PATH` and the
  /// places where Linux distributions put them.
  /// - Parameter version: take this major version only, because a data folder needs it.
  static func find(
    in folder: String?, version: Int?,
    environment: [String: String] = ProcessInfo.processInfo.environment
  ) throws -> ServerBinaries {
    let candidates = folder.map { [$0] } ?? Self.candidates(environment)
    let found = candidates.compactMap { path -> (version: Int, folder: String)? in
      let files = FileManager.default
      guard files.isExecutableFile(atPath: path + "/postgres"),
        files.isExecutableFile(atPath: path + "/initdb"),
        let version = majorVersion(of: path)
      else { return nil }
      return (version, path)
    }
    let usable = found.filter { version == nil ? $0.version >= minVersion : $0.version == version }
    guard let best = usable.max(by: { $0.version < $1.version }) else {
      throw PostgresError(
        code: .privateServer,
        message: "no PostgreSQL \(version.map { "\($0)" } ?? "\(minVersion) or later") is "
          + "installed here, which the private database needs; install it (Debian, Ubuntu: "
          + "`apt-get install -y postgresql`), or use another database with --database-url")
    }
    return ServerBinaries(folder: best.folder, version: best.version)
  }

  private static func candidates(_ environment: [String: String]) -> [String] {
    let path = (environment["PATH"] ?? "").split(separator: ":").map(String.init)
    // Debian keeps versions side by side; Red Hat's own packages do the same below /usr.
    let versions = ["/usr/lib/postgresql", "/usr/local/lib/postgresql"].flatMap { root in
      ((try? FileManager.default.contentsOfDirectory(atPath: root)) ?? []).map {
        "\(root)/\($0)/bin"
      }
    }
    let redHat = ((try? FileManager.default.contentsOfDirectory(atPath: "/usr")) ?? [])
      .filter { $0.hasPrefix("pgsql-") }.map { "/usr/\($0)/bin" }
    return path + versions + redHat
  }

  /// The version that the folder's `postgres` says it is: `postgres (PostgreSQL) 15.20 …`.
  private static func majorVersion(of folder: String) -> Int? {
    guard let output = ChildProcess.output(of: folder + "/postgres", ["--version"]) else {
      return nil
    }
    let words = output.split(separator: " ")
    guard let index = words.firstIndex(of: "(PostgreSQL)"), index + 1 < words.count else {
      return nil
    }
    return Int(words[index + 1].prefix(while: \.isNumber))
  }
}
