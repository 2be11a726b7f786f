import Executors
import Foundation
import Inference
import JobQueue
import JobStorePostgres
import Logging
import Postgres
import RPC
import ServiceLifecycle
import Services
import UnixSignals

/// Puts a service together out of its parts and runs it until it is told to end.
///
/// The parts end in the opposite order of their start: first the claims, then the calls, then the
/// executor (its jobs go back to the queue), then the store, and last the private database. Told to
/// end while it still starts, it leaves off and puts away what was started.
struct Assembly: Service {
  let settings: ServeSettings
  let logger: Logger

  init(_ settings: ServeSettings) throws(CommandFailure) {
    guard !settings.models.isEmpty else {
      throw CommandFailure("there is no model to serve; add --model NAME=PATH")
    }
    self.settings = settings
    logger = Logger(label: "millrace")
  }

  /// Runs until SIGTERM or SIGINT.
  func runUntilSignal() async throws {
    let group = ServiceGroup(
      configuration: ServiceGroupConfiguration(
        services: [.init(service: self, successTerminationBehavior: .gracefullyShutdownGroup)],
        gracefulShutdownSignals: [.sigterm, .sigint], logger: logger))
    try await group.run()
    logger.notice("Stopped cleanly")
  }

  func run() async throws {
    let services: [any Service]
    do {
      services = try await cancelWhenGracefulShutdown { try await start() }
    } catch  where Task.isShuttingDownGracefully {
      logger.notice("Told to stop before the start was over")
      return
    }
    try await ServiceGroup(services: services, logger: logger).run()
  }

  /// Starts everything, or nothing. Returns the parts in the order in which they depend on each
  /// other.
  private func start() async throws -> [any Service] {
    let credentials = try credentials()
    let models = ServedModels(try loadModels())
    let database = try await startDatabase()
    do {
      let store = try await PostgresJobStore.open(
        connectionString: database.connectionString, configuration: settings.store, logger: logger)
      // No other process can be at the private database: whatever ran there has died.
      if database.server != nil { try await store.expireLeases() }
      let executor = Executor(
        store: store, models: models.served,
        configuration: ExecutorConfiguration(engineNiceness: settings.engineNiceness),
        logger: Logger(label: "millrace.executor"))
      let server = try makeServer(
        store: store, models: models, caches: executor, credentials: credentials)
      var services: [any Service] = []
      if let server = database.server { services.append(PrivateServerService(server: server)) }
      services += [
        store, WatchService(hub: server.hub), executor,
        HealthMonitor(board: server.board, store: store) { executor.isReady },
        GRPCService(
          server: server.server, board: server.board, hub: server.hub,
          grace: .seconds(settings.drainSeconds)),
        ClaimStop(executor: executor),
      ]
      return services
    } catch {
      await database.server?.stop()
      throw error
    }
  }

  // MARK: Models

  private func loadModels() throws -> [ServedModel] {
    try settings.models.map { named in
      try Task.checkCancellation()
      logger.info("Loading a model", metadata: ["name": "\(named.name)", "path": "\(named.path)"])
      do {
        let model = try load(named)
        let draft = try settings.drafts.first { $0.name == named.name }.map(load)
        let options = EngineOptions(
          maxSequences: settings.slots, maxTokensPerStep: max(512, settings.slots),
          tokenLatency: settings.tokenLatency, contextLength: settings.contextLength,
          threads: settings.threads,
          kernelPath: settings.kernelPath, kvCacheBytes: settings.kvCacheBytes,
          cachesPrefixes: settings.cachesPrefixes)
        try options.check(for: model, draft: draft)
        return ServedModel(name: named.name, model: model, draft: draft, options: options)
      } catch let error as InferenceError where error.code == .optionsInvalid {
        let flag = error.context["field"].flatMap { Self.flags[$0] }.map { "; see \($0)" } ?? ""
        throw CommandFailure(
          "model \(named.name) (\(named.path)) cannot be served so: \(error.message)\(flag)")
      } catch {
        throw CommandFailure("model \(named.name) (\(named.path)) cannot be served: \(error)")
      }
    }
  }

  private func load(_ named: ServeSettings.NamedModel) throws -> LanguageModel {
    let model = try LanguageModel.load(
      path: named.path,
      options: LoadOptions(
        kernelPath: settings.kernelPath, keyValueStorage: settings.keyValueStorage,
        weightCache: settings.weightCache, threads: settings.threads))
    report(model.weightPlace, of: named.name)
    return model
  }

  private func report(_ place: WeightPlace, of name: String) {
    switch place {
    case .memory: return
    case .found(let path): logger.info("Its weights are mapped", metadata: ["path": "\(path)"])
    case .made(let path):
      logger.info("Its weights are repacked and kept", metadata: ["path": "\(path)"])
    case .fallback(let problem): logger.warning("\(problem)", metadata: ["name": "\(name)"])
    }
  }

  /// The flags that an engine's options come from.
  private static let flags = [
    "contextLength": "--context-length", "maxSequences": "--slots", "threads": "--threads",
    "kvCacheBytes": "--kv-cache-memory and --context-length", "maxTokensPerStep": "--slots",
    "keyValueStorage": "--kv-cache-type", "draft": "--draft",
  ]

  // MARK: Database

  private struct Database {
    var connectionString: String
    var server: PrivateServer?
  }

  private func startDatabase() async throws -> Database {
    if let url = settings.databaseURL {
      return Database(connectionString: url, server: nil)
    }
    var options = PrivateServerOptions()
    if let user = settings.databaseUser { options.account = user }
    let server = try PrivateServer(
      dataDirectory: settings.dataDirectory + "/postgres", options: options,
      logger: Logger(label: "millrace.database"))
    let connectionString = try await server.start()
    return Database(connectionString: connectionString, server: server)
  }

  // MARK: Server

  private struct ServerParts {
    var server: Server
    var board: HealthBoard
    var hub: WatchHub
  }

  private func makeServer(
    store: PostgresJobStore, models: ServedModels, caches: any CacheReporter,
    credentials: ServerCredentials
  ) throws -> ServerParts {
    let names = [
      "millrace.v1.JobService", "millrace.v1.ModelService", "millrace.v1.AdminService",
    ]
    let standard = ["grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection"]
    let logger = Logger(label: "millrace.rpc")
    let hub = WatchHub(store: store, logger: logger)
    let board = HealthBoard(services: names + standard)
    let methods =
      JobService(store: store, catalog: models, hub: hub, logger: logger).methods
      + ModelService(catalog: models, logger: logger).methods
      + AdminService(store: store, caches: caches, logger: logger).methods
      + HealthService(board: board, logger: logger).methods
      + (try ReflectionService(services: names + standard).methods)
    var configuration = ServerConfiguration(
      addresses: try settings.listen.map { text in
        guard let address = SocketAddress(text) else {
          throw CommandFailure("--listen is \(text); it must be HOST:PORT or unix:PATH")
        }
        return address
      })
    configuration.credentials = credentials
    configuration.maxSendMessageBytes = 256 << 20
    configuration.maxReceiveMessageBytes = 16 << 20
    let server = try Server(configuration: configuration, methods: methods, logger: logger)
    try start(server)
    return ServerParts(server: server, board: board, hub: hub)
  }

  private func start(_ server: Server) throws {
    do {
      try server.start()
    } catch {
      guard error.code == .invalidArgument, settings.tlsCertificate != nil else { throw error }
      let files = named([
        ("--tls-certificate", settings.tlsCertificate), ("--tls-key", settings.tlsKey),
        ("--tls-client-roots", settings.tlsClientRoots),
      ])
      throw CommandFailure("\(error.message): \(files)")
    }
  }

  private func credentials() throws -> ServerCredentials {
    guard let certificate = settings.tlsCertificate, let key = settings.tlsKey else {
      return .insecure
    }
    let chain = try readPEM(certificate, "--tls-certificate", holds: "CERTIFICATE")
    let privateKey = try readPEM(key, "--tls-key", holds: "PRIVATE KEY")
    guard let roots = settings.tlsClientRoots else {
      return .tls(certificateChain: chain, privateKey: privateKey)
    }
    return .mutualTLS(
      certificateChain: chain, privateKey: privateKey,
      clientRoots: try readPEM(roots, "--tls-client-roots", holds: "CERTIFICATE"))
  }
}

extension Assembly: CustomStringConvertible {
  /// Without the settings, which may hold a password; the service group logs its services.
  var description: String { "millrace" }
}

/// The bytes of a file that a flag names.
func readFile(_ path: String, _ flag: String) throws(CommandFailure) -> [UInt8] {
  do {
    return [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
  } catch {
    throw CommandFailure("\(flag) \(path) cannot be read; check the path and its permissions")
  }
}

/// Ends the claims when a shutdown begins, before anything is waited for.
private struct ClaimStop: Service {
  let executor: Executor

  func run() async throws {
    try? await gracefulShutdown()
    executor.stopClaiming()
  }
}

/// The private database as a long-lived service of the process.
private struct PrivateServerService: Service {
  let server: PrivateServer

  func run() async throws {
    try await cancelWhenGracefulShutdown { try await server.run() }
    await server.stop()
  }
}
