import Foundation

/// The user that the server runs as. PostgreSQL refuses to run as root, so root hands it to another.
struct ServerAccount: Sendable {
  var name: String
  var userID: uid_t
  var groupID: gid_t
  /// Whether it is another user than this process's.
  var isOther: Bool

  /// This process's user, or, for root, the one named (by default `postgres`).
  static func choose(named name: String?) throws -> ServerAccount {
    let own = geteuid()
    guard own == 0 else {
      return ServerAccount(
        name: NSUserName(), userID: own, groupID: getegid(), isOther: false)
    }
    let name = name ?? "postgres"
    guard let entry = getpwnam(name), entry.pointee.pw_uid != 0 else {
      throw PostgresError(
        code: .privateServer,
        message: "PostgreSQL does not run as root, and there is no user \(name) to run it as; "
          + "create one (`useradd --system \(name)`), or run this program as another user")
    }
    return ServerAccount(
      name: name, userID: entry.pointee.pw_uid, groupID: entry.pointee.pw_gid, isOther: true)
  }

  /// The command that runs a program as this user.
  ///
  /// `setpriv` changes the user and then becomes the program, so the child's process id is the
  /// server's own. It also has the kernel tell the server to shut down when the thread that
  /// started it ends, however that comes about, where that is wanted.
  func command(_ program: String, _ arguments: [String], diesWithParent: Bool) throws -> [String] {
    var prefix: [String] = []
    if isOther {
      prefix += ["--reuid", name, "--regid", "\(groupID)", "--init-groups", "--reset-env"]
    }
    if diesWithParent { prefix += ["--pdeathsig", "INT"] }
    guard !prefix.isEmpty else { return [program] + arguments }
    guard let setpriv = Self.setpriv else {
      guard isOther else { return [program] + arguments }
      throw PostgresError(
        code: .privateServer,
        message: "`setpriv` is needed to run PostgreSQL as \(name); install it (Debian, Ubuntu: "
          + "`apt-get install -y util-linux`), or run this program as another user than root")
    }
    return [setpriv] + prefix + ["--", program] + arguments
  }

  private static let setpriv = ["/usr/bin/setpriv", "/bin/setpriv", "/usr/local/bin/setpriv"]
    .first { FileManager.default.isExecutableFile(atPath: $0) }

  /// Makes a folder that only this user can enter.
  func makePrivateFolder(_ path: String) throws {
    do {
      try FileManager.default.createDirectory(
        atPath: path, withIntermediateDirectories: true)
    } catch {
      throw PostgresError(
        code: .privateServer, message: "cannot create the folder \(path)", cause: error)
    }
    if isOther, chown(path, userID, groupID) != 0 {
      throw PostgresError(
        code: .privateServer, message: "cannot give the folder \(path) to \(name)")
    }
    guard chmod(path, 0o700) == 0 else {
      throw PostgresError(
        code: .privateServer, message: "cannot make the folder \(path) private")
    }
  }

  /// Checks that the user can reach a folder: every folder above it must let them through.
  func checkReachable(_ path: String) throws {
    guard isOther else { return }
    var folder = ""
    for part in path.split(separator: "/").dropLast() {
      folder += "/" + part
      var info = stat()
      guard stat(folder, &info) == 0 else { continue }
      let execute: mode_t =
        info.st_uid == userID ? S_IXUSR : info.st_gid == groupID ? S_IXGRP : S_IXOTH
      guard info.st_mode & execute != 0 else {
        throw PostgresError(
          code: .privateServer,
          message: "PostgreSQL runs as \(name), who cannot pass through the folder \(folder); "
            + "allow it (`chmod o+x \(folder)`), or choose a data folder elsewhere")
      }
    }
  }
}
