package import Foundation

/// The private server's folder and what lies where in it.
///
///     lock             held while a process uses the folder
///     data/            PostgreSQL's own data folder
///     data/log/        the server's log, a file per weekday
///     socket/          the server's socket, unless its path would be too long
///     start.log        what the server said before its log was open
struct ServerFolder: Sendable {
  /// The longest path of a unix socket, with its end mark (`sun_path`).
  private static let maxSocketPathBytes = 107
  private static let socketName = "/.s.PGSQL.5432"

  var path: String

  init(_ path: String) throws {
    let url = URL(fileURLWithPath: path).standardizedFileURL
    self.path = url.path
    guard self.path.hasPrefix("/") else {
      throw PostgresError(
        code: .privateServer, message: "the data folder \(path) is not a usable path")
    }
  }

  var data: String { path + "/data" }
  var lock: String { path + "/lock" }
  var startLog: String { path + "/start.log" }
  var processIDFile: String { data + "/postmaster.pid" }

  /// The folder of the socket: within the folder, or, when the path is too long for a socket, one
  /// of a short name made from it.
  var socket: String {
    let inside = path + "/socket"
    guard (inside + Self.socketName).utf8.count > Self.maxSocketPathBytes else { return inside }
    return "/tmp/millrace-" + Self.shortName(of: path)
  }

  /// FNV-1a, 64 bits: the same path always gives the same name.
  private static func shortName(of path: String) -> String {
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    for byte in path.utf8 {
      hash ^= UInt64(byte)
      hash = hash &* 0x0000_0100_0000_01b3
    }
    return String(hash, radix: 16)
  }

  /// The major version that made the data folder; `nil` when there is none yet.
  var dataVersion: Int? {
    guard let text = try? String(contentsOfFile: data + "/PG_VERSION", encoding: .utf8) else {
      return nil
    }
    return Int(text.trimmingCharacters(in: .whitespacesAndNewlines))
  }

  /// The last lines that the server said, for an error message.
  var lastWords: String {
    let logs = ((try? FileManager.default.contentsOfDirectory(atPath: data + "/log")) ?? [])
      .map { data + "/log/" + $0 }
    let newest = logs.max { modificationTime($0) < modificationTime($1) }
    let lines = [startLog, newest].compactMap { $0 }
      .compactMap { FileManager.default.contents(atPath: $0) }
      .flatMap { String(decoding: $0.suffix(4_000), as: UTF8.self).split(separator: "\n") }
      .filter { $0.contains("FATAL") || $0.contains("ERROR") || $0.contains("error") }
    return lines.suffix(3).joined(separator: "; ")
  }

  private func modificationTime(_ path: String) -> Date {
    let attributes = try? FileManager.default.attributesOfItem(atPath: path)
    return attributes?[.modificationDate] as? Date ?? .distantPast
  }
}

/// The first lines of `postmaster.pid`, in which a running server says who and where it is.
package struct PostmasterFile: Hashable, Sendable {
  package var processID: pid_t
  package var isReady: Bool

  init?(at path: String) {
    guard let text = try? String(contentsOfFile: path, encoding: .utf8) else { return nil }
    self.init(text: text)
  }

  /// Line 1 is the process id; line 8 the status, once there is one.
  package init?(text: String) {
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
    guard let first = lines.first, let processID = pid_t(first), processID > 1 else { return nil }
    self.processID = processID
    isReady = lines.count > 7 && lines[7].hasPrefix("ready")
  }

  /// Whether the process lives and is a server of this data folder; its number may have been given
  /// to another process since.
  func isAlive(data: String) -> Bool {
    guard kill(processID, 0) == 0 || errno == EPERM else { return false }
    var buffer = [CChar](repeating: 0, count: Int(PATH_MAX) + 1)
    // A server's working directory is its data folder.
    guard readlink("/proc/\(processID)/cwd", &buffer, buffer.count - 1) > 0 else {
      // Where that cannot be read, believe the file.
      return !FileManager.default.fileExists(atPath: "/proc/\(getpid())")
    }
    let directory = String(
      decoding: buffer.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    return directory == Self.resolved(data)
  }

  private static func resolved(_ path: String) -> String {
    guard let real = realpath(path, nil) else { return path }
    defer { free(real) }
    return String(cString: real)
  }
}
