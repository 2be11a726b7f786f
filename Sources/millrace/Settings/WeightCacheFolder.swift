import Foundation
import Inference

/// Where repacked weights are kept, as people say it: a folder, or `off`.
enum WeightCacheFolder {
  /// The user's own cache folder, by the XDG base directory specification.
  static func standard(_ environment: [String: String], home: String) -> String {
    let base = environment["XDG_CACHE_HOME"].flatMap { $0.hasPrefix("/") ? $0 : nil }
    return (base ?? home + "/.cache") + "/millrace"
  }

  /// The cache that a text asks for, of so many bytes at most if that is told; `nil` for none.
  static func cache(_ text: String, limit: Int?) -> WeightCache? {
    guard text != "off" else { return nil }
    let folder = (text as NSString).expandingTildeInPath
    return limit.map { WeightCache(folder: folder, mostBytes: $0) } ?? WeightCache(folder: folder)
  }

  /// The cache of a command without settings.
  static func cache(flag: String?, limit: Int?) -> WeightCache? {
    let home = FileManager.default.homeDirectoryForCurrentUser.path
    return cache(
      flag ?? standard(ProcessInfo.processInfo.environment, home: home), limit: limit)
  }
}
