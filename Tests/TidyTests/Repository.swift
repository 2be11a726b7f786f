import Foundation

/// The project's own source files, as the checks see them.
enum Repository {
  struct File {
    /// Relative to the repository's root.
    var path: String
    var lines: [String]

    var isGenerated: Bool { path.contains("/Generated/") }

    /// The first folder below `Sources` or `Tests`.
    var target: String? {
      let parts = path.split(separator: "/")
      return parts.count > 2 && parts[0] == "Sources" ? String(parts[1]) : nil
    }
  }

  static let root = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

  /// Files with one of these endings in the folders that hold code.
  static func files(_ endings: Set<String>) throws -> [File] {
    var files: [File] = []
    for folder in ["Sources", "Tests", "Benchmarks", "ops", "migrations", "protos", "training"] {
      let base = root.appendingPathComponent(folder)
      guard let paths = FileManager.default.enumerator(atPath: base.path) else { continue }
      for case let path as String in paths {
        let isHidden = path.split(separator: "/").contains { $0.hasPrefix(".") }
        let ending = URL(fileURLWithPath: path).pathExtension
        var isFolder: ObjCBool = false
        _ = FileManager.default.fileExists(
          atPath: base.appendingPathComponent(path).path, isDirectory: &isFolder)
        guard !isHidden, !isFolder.boolValue, endings.contains(ending) else { continue }
        let text = try String(contentsOf: base.appendingPathComponent(path), encoding: .utf8)
        files.append(
          File(
            path: "\(folder)/\(path)",
            lines: text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)))
      }
    }
    return files
  }
}
