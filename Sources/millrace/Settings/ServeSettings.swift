import Foundation
import Inference
import JobStorePostgres
import Logging
import RPC
import Tensors

/// Everything that `serve` goes by, with all sources taken together.
struct ServeSettings {
  struct NamedModel {
    var name: String
    var path: String
  }

  var models: [NamedModel]
  /// The models that draft, under the names of those that they draft for.
  var drafts: [NamedModel]
  var listen: [String]
  var dataDirectory: String
  var databaseURL: String?
  var threads: Int?
  var slots: Int
  var contextLength: Int?
  /// `nil`: throughput alone.
  var tokenLatency: Duration?
  var engineNiceness: Int
  var kernelPath: KernelPath
  var keyValueStorage: KeyValueStorage
  /// `nil`: the engine's own choice.
  var kvCacheBytes: Int?
  var cachesPrefixes: Bool
  var weightCache: WeightCache?
  var maxQueuedJobs: Int
  /// `nil`: for ever.
  var keepDays: Int?
  var tlsCertificate: String?
  var tlsKey: String?
  var tlsClientRoots: String?
  var drainSeconds: Int
  var logLevel: Logger.Level
  var databaseUser: String?
  var entries: [SettingsSource.Entry]

  static let keys: Set<String> = [
    "model", "draft", "listen", "data-dir", "database-url", "threads", "slots", "context-length",
    "kernels",
    "kv-cache-type", "kv-cache-memory", "prefix-cache",
    "weight-cache", "weight-cache-limit", "token-latency-ms", "engine-niceness",
    "max-queued-jobs", "keep-days", "tls-certificate", "tls-key", "tls-client-roots",
    "drain-seconds", "log-level",
    "database-user",
  ]

  init(_ flags: ServeFlags, environment: [String: String]) throws(CommandFailure) {
    var source = try SettingsSource(
      file: flags.config ?? environment["MILLRACE_CONFIG"], environment: environment,
      keys: Self.keys)
    (models, drafts) = try Self.models(flags, &source, environment)
    listen = try Self.addresses(&source, flags: flags.listen)
    let database = try DatabaseSettings(
      &source, url: flags.databaseURL, folder: flags.dataDir, user: flags.databaseUser)
    dataDirectory = database.folder
    databaseURL = database.url
    databaseUser = database.user
    threads = try source.integer(
      "threads", flag: flags.threads, default: nil, unset: "one a core", in: 1...256)
    slots = try source.integer("slots", flag: flags.slots, default: 16, in: 1...1_024) ?? 16
    contextLength = try source.integer(
      "context-length", flag: flags.contextLength, default: nil,
      unset: "the model's, at most 4096", in: 2...10_000_000)
    let milliseconds = try source.integer(
      "token-latency-ms", flag: flags.tokenLatency, default: 250, in: 0...60_000)
    tokenLatency = milliseconds.flatMap { $0 == 0 ? nil : .milliseconds($0) }
    engineNiceness =
      try source.integer(
        "engine-niceness", flag: flags.engineNiceness, default: 10, in: 0...19) ?? 10
    kernelPath = try Self.choice("kernels", &source, flag: flags.kernels, default: "auto")
    keyValueStorage = try Self.keyValueStorage(&source, flag: flags.kvCacheType)
    kvCacheBytes = try Self.size(
      "kv-cache-memory", &source, flag: flags.kvCacheMemory,
      unset: "room for all slots, at most 2GiB")
    let prefixCache: Switch = try Self.choice(
      "prefix-cache", &source, flag: flags.prefixCache, default: "on")
    cachesPrefixes = prefixCache == .on
    weightCache = WeightCacheFolder.cache(
      source.string(
        "weight-cache", flag: flags.weightCache,
        default: WeightCacheFolder.standard(environment, home: source.home)) ?? "off",
      limit: try Self.size(
        "weight-cache-limit", &source, flag: flags.weightCacheLimit, "64GiB", memory: nil))
    maxQueuedJobs =
      try source.integer(
        "max-queued-jobs", flag: flags.maxQueuedJobs, default: 1_000_000, in: 1...1_000_000_000)
      ?? 1_000_000
    keepDays = try Self.days(&source, flag: flags.keepDays)
    tlsCertificate = source.string("tls-certificate", flag: flags.tlsCertificate)
    tlsKey = source.string("tls-key", flag: flags.tlsKey)
    tlsClientRoots = source.string("tls-client-roots", flag: flags.tlsClientRoots)
    drainSeconds =
      try source.integer("drain-seconds", flag: flags.drainSeconds, default: 10, in: 0...3_600)
      ?? 10
    logLevel = try Self.choice("log-level", &source, flag: flags.logLevel, default: "info")
    entries = source.entries
    guard (tlsCertificate == nil) == (tlsKey == nil) else {
      throw CommandFailure("tls-certificate and tls-key go together; give both or none")
    }
    guard tlsClientRoots == nil || tlsCertificate != nil else {
      throw CommandFailure("tls-client-roots needs tls-certificate and tls-key")
    }
  }

  /// How the store is to use its database.
  var store: PostgresJobStoreConfiguration {
    var configuration = PostgresJobStoreConfiguration()
    configuration.maxQueuedJobs = maxQueuedJobs
    configuration.retention = keepDays.map { .seconds(Int64($0) * 86_400) }
    return configuration
  }

  private static func models(
    _ flags: ServeFlags, _ source: inout SettingsSource, _ environment: [String: String]
  ) throws(CommandFailure) -> (models: [NamedModel], drafts: [NamedModel]) {
    let bundled = BundledModels(environment: environment)
    let name = BundledModels.name
    let models = try named(
      "model",
      source.list(
        "model", flags: flags.model, default: bundled.storyteller.map { ["\(name)=\($0)"] } ?? []))
    let isBundled = models.contains { $0.name == name && $0.path == bundled.storyteller }
    let drafts = try named(
      "draft",
      source.list(
        "draft", flags: flags.draft,
        default: isBundled ? bundled.draft.map { ["\(name)=\($0)"] } ?? [] : []))
    for draft in drafts where !models.contains(where: { $0.name == draft.name }) {
      throw CommandFailure(
        "--draft \(draft.name)=\(draft.path) drafts for a model that is not served; it must be "
          + "the name of one given with --model")
    }
    return (models, drafts)
  }

  private static func named(
    _ key: String, _ texts: [String]
  ) throws(CommandFailure) -> [NamedModel] {
    var models: [NamedModel] = []
    for text in texts {
      let parts = text.split(separator: "=", maxSplits: 1).map(String.init)
      guard parts.count == 2, !parts[0].isEmpty, !parts[1].isEmpty else {
        throw CommandFailure(
          "--\(key) is \(text); it must be NAME=PATH, for example story=models/story.gguf")
      }
      guard !models.contains(where: { $0.name == parts[0] }) else {
        throw CommandFailure("two \(key)s are called \(parts[0]); give each its own name")
      }
      models.append(NamedModel(name: parts[0], path: parts[1]))
    }
    return models
  }

  /// Where to listen, checked.
  static func addresses(
    _ source: inout SettingsSource, flags: [String]
  ) throws(CommandFailure) -> [String] {
    let texts = source.list("listen", flags: flags, default: ["127.0.0.1:50051"])
    for text in texts where SocketAddress(text) == nil {
      throw CommandFailure(
        "\(source.name(of: "listen")) is \(text); it must be HOST:PORT or unix:PATH")
    }
    return texts
  }

  private enum Switch: String, CaseIterable {
    case on, off
  }

  private static func keyValueStorage(
    _ source: inout SettingsSource, flag: String?
  ) throws(CommandFailure) -> KeyValueStorage {
    let text = source.string("kv-cache-type", flag: flag, default: "f32")
    guard let storage = text.flatMap({ KeyValueStorage($0) }) else {
      throw CommandFailure(
        "\(source.name(of: "kv-cache-type")) is \(text ?? "empty"); it must be "
          + KeyValueStorage.form)
    }
    return storage
  }

  private static func size(
    _ key: String, _ source: inout SettingsSource, flag: String?, _ standard: String? = nil,
    unset: String = "none", memory: UInt64? = ProcessInfo.processInfo.physicalMemory
  ) throws(CommandFailure) -> Int? {
    let text = source.string(key, flag: flag, default: standard, unset: unset)
    guard let text else { return nil }
    guard let size = MemorySize(text, memory: memory) else {
      let form = memory == nil ? MemorySize.plainForm : MemorySize.form
      throw CommandFailure("\(source.name(of: key)) is \(text); it must be \(form)")
    }
    return size.bytes
  }

  private static func days(
    _ source: inout SettingsSource, flag: String?
  ) throws(CommandFailure) -> Int? {
    let text = source.string("keep-days", flag: flag, default: "90")
    if text == "forever" { return nil }
    guard let days = text.flatMap({ Int($0) }), 1...36_500 ~= days else {
      throw CommandFailure(
        "\(source.name(of: "keep-days")) is \(text ?? "empty"); it must be 1 to 36500, or forever")
    }
    return days
  }

  private static func choice<Value: RawRepresentable & CaseIterable>(
    _ key: String, _ source: inout SettingsSource, flag: String?, default standard: String
  ) throws(CommandFailure) -> Value where Value.RawValue == String {
    let text = source.string(key, flag: flag, default: standard)
    guard let value = text.flatMap(Value.init(rawValue:)) else {
      throw CommandFailure(
        "\(source.name(of: key)) is \(text ?? "empty"); it must be one of "
          + Value.allCases.map(\.rawValue).joined(separator: ", "))
    }
    return value
  }
}
