import Foundation
import Yams

/// Where a setting's value came from, strongest first.
enum SettingOrigin: String, Encodable {
  case flag = "flag"
  case environment = "environment"
  case file = "file"
  case builtIn = "default"
}

/// Settings from flags, then environment (`MILLRACE_…`), then a YAML file, then defaults.
///
/// Each look-up notes where the value came from, for `--print-config`.
struct SettingsSource {
  /// One setting in force.
  struct Entry {
    var key: String
    var value: String
    var origin: SettingOrigin
  }

  private let environment: [String: String]
  private let file: [String: [String]]
  private let path: String
  /// In the order in which they were asked for.
  private(set) var entries: [Entry] = []

  /// - Parameters:
  ///   - path: the file; `nil` looks for `millrace.yaml` in the working folder.
  ///   - keys: all the settings there are, to refuse misspelled ones in the file, and to warn of
  ///     those in the environment.
  init(
    file path: String?, environment: [String: String], keys: Set<String>
  ) throws(CommandFailure) {
    self.environment = environment
    Self.warnOfUnknown(environment, keys: keys)
    let standard = "millrace.yaml"
    let found = path ?? (FileManager.default.fileExists(atPath: standard) ? standard : nil)
    self.path = found ?? standard
    file = try found.map { path throws(CommandFailure) in try Self.read(path, keys: keys) } ?? [:]
  }

  /// Variables of Millrace that are no settings of a service.
  private static let otherVariables: Set<String> = [
    "MILLRACE_ADDRESS", "MILLRACE_BINARY", "MILLRACE_CONFIG", "MILLRACE_CONFORMANCE",
    "MILLRACE_MODEL_FOLDER", "MILLRACE_TENANT", "MILLRACE_TEST_SEED",
  ]

  private static func warnOfUnknown(_ environment: [String: String], keys: Set<String>) {
    let known = otherVariables.union(keys.map(variable))
    let unknown = environment.keys.filter { $0.hasPrefix("MILLRACE_") && !known.contains($0) }
    for name in unknown.sorted() {
      Output.remark(
        "Warning: \(name) is no setting and changes nothing; see `millrace serve --help`")
    }
  }

  /// What a shell calls `~`: what the user says, or else what the system knows.
  var home: String {
    if let home = environment["HOME"], home.hasPrefix("/") { return home }
    return FileManager.default.homeDirectoryForCurrentUser.path
  }

  /// The variable that holds a setting: `MILLRACE_DATA_DIR` for `data-dir`.
  private static func variable(_ key: String) -> String {
    "MILLRACE_" + key.uppercased().replacing("-", with: "_")
  }

  /// A setting as errors name it: by where its value came from.
  func name(of key: String) -> String {
    switch entries.last(where: { $0.key == key })?.origin {
    case .flag: "--\(key)"
    case .environment: Self.variable(key)
    case .file: "\(key) in \(path)"
    case .builtIn, nil: key
    }
  }

  /// The values of a setting that may be given several times.
  mutating func list(
    _ key: String, flags: [String], default values: [String]
  ) -> [String] {
    let (given, origin) = find(key, flags: flags, default: values)
    let found =
      origin == .environment
      ? given.flatMap { $0.split(separator: ",").map(String.init) } : given
    let shown = found.isEmpty ? "none" : found.joined(separator: ",")
    entries.append(Entry(key: key, value: shown, origin: origin))
    return found
  }

  /// The value of a setting that is one text, commas and all. One that is secret is shown without
  /// its passwords; of one that is not set, `unset` says what is in force then.
  mutating func string(
    _ key: String, flag: String?, default value: String? = nil, unset: String = "none",
    isSecret: Bool = false
  ) -> String? {
    let (given, origin) = find(
      key, flags: flag.map { [$0] } ?? [], default: value.map { [$0] } ?? [])
    let found = given.joined(separator: ",")
    let shown = given.isEmpty ? unset : isSecret ? PasswordMask.masked(found) : found
    entries.append(Entry(key: key, value: shown, origin: origin))
    return given.isEmpty ? nil : found
  }

  private func find(
    _ key: String, flags: [String], default values: [String]
  ) -> ([String], SettingOrigin) {
    if !flags.isEmpty { return (flags, .flag) }
    if let text = environment[Self.variable(key)], !text.isEmpty { return ([text], .environment) }
    if let list = file[key] { return (list, .file) }
    return (values, .builtIn)
  }

  mutating func integer(
    _ key: String, flag: Int?, default value: Int?, unset: String = "none",
    in range: ClosedRange<Int>
  ) throws(CommandFailure) -> Int? {
    guard
      let text = string(
        key, flag: flag.map(String.init), default: value.map(String.init), unset: unset)
    else { return nil }
    guard let number = Int(text), range.contains(number) else {
      throw CommandFailure(
        "\(name(of: key)) is \(text); it must be a whole number from \(range.lowerBound) to "
          + "\(range.upperBound)")
    }
    return number
  }

  private static func read(
    _ path: String, keys: Set<String>
  ) throws(CommandFailure) -> [String: [String]] {
    guard FileManager.default.fileExists(atPath: path) else {
      throw CommandFailure("there is no settings file \(path); check the path")
    }
    guard let text = try? String(contentsOfFile: path, encoding: .utf8) else {
      throw CommandFailure(
        "the settings file \(path) cannot be read; check that it is a text file, and its permissions"
      )
    }
    let loaded: Any?
    do {
      loaded = try Yams.load(yaml: text)
    } catch {
      throw CommandFailure("the settings file \(path) is no YAML: \(error)")
    }
    guard let loaded else { return [:] }
    guard let settings = loaded as? [String: Any] else {
      throw CommandFailure("the settings file \(path) must hold lines of the form `key: value`")
    }
    var values: [String: [String]] = [:]
    for (key, value) in settings {
      guard keys.contains(key) else {
        throw CommandFailure(
          "the settings file \(path) holds \(key), which is no setting; there are: "
            + keys.sorted().joined(separator: ", "))
      }
      switch value {
      case let list as [Any]: values[key] = list.map { "\($0)" }
      case let table as [String: Any]:
        values[key] = table.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
      default: values[key] = ["\(value)"]
      }
    }
    return values
  }
}
