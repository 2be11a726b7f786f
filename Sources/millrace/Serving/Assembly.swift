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
/// The parts end in the opposite order of their start: first the calls, then the executor (its
/// jobs go back to the queue), then the store, and last the private database.
struct Assembly {
  let settings: ServeSettings
  let logger: Logger

  init(_ settings: ServeSettings) throws(CommandFailure) {
    guard !settings.models.isEmpty else {
      throw CommandFailure("there is no model to serve; add --model NAME=PATH")
    }
    self.settings = settings
    logger = Logger(label: "millrace")
  }

  func run() async throws {
    let models = ServedModels(try loadModels())
    let database = try await startDatabase()
    let store: PostgresJobStore
    let server: ServerParts
    do {
      store = try await PostgresJobStore.open(
        connectionString: database.connectionString, logger: logger)
      server = try makeServer(store: store, models: models)
    } catch {
      await database.server?.stop()
      throw error
    }
    var services: [any Service] = []
    if let server = database.server { services.append(PrivateServerService(server: server)) }
    services += [store, WatchService(hub: server.hub)]
    services.append(
      Executor(store: store, models: models.served, logger: Logger(label: "millrace.executor")))
    services.append(HealthMonitor(board: server.board, store: store))
    services.append(
      GRPCService(
        server: server.server, board: server.board, hub: server.hub,
        grace: .seconds(settings.drainSeconds)))
    let group = ServiceGroup(
      configuration: ServiceGroupConfiguration(
        services: services.map { .init(service: $0) },
        gracefulShutdownSignals: [.sigterm, .sigint], logger: logger))
    try await group.run()
    logger.notice("Stopped cleanly")
  }

  // MARK: Models

  private func loadModels() throws -> [ServedModel] {
    try settings.models.map { named in
      logger.info("Loading a model", metadata: ["name": "\(named.name)", "path": "\(named.path)"])
      do {
        let model = try LanguageModel.load(
          path: named.path,
          options: LoadOptions(kernelPath: settings.kernelPath, threads: settings.threads))
        return ServedModel(
          name: named.name, model: model,
          options: EngineOptions(
            maxSequences: settings.slots, contextLength: settings.contextLength,
            threads: settings.threads, kernelPath: settings.kernelPath))
      } catch {
        throw CommandFailure("model \(named.name) (\(named.path)) cannot be served: \(error)")
      }
    }
  }

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
    store: PostgresJobStore, models: ServedModels
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
      + AdminService(store: store, logger: logger).methods
      + HealthService(board: board, logger: logger).methods
      + (try ReflectionService(services: names + standard).methods)
    var configuration = ServerConfiguration(
      addresses: try settings.listen.map { text in
        guard let address = SocketAddress(text) else {
          throw CommandFailure("--listen is \(text); it must be HOST:PORT or unix:PATH")
        }
        return address
      })
    configuration.credentials = try credentials()
    configuration.maxSendMessageBytes = 256 << 20
    configuration.maxReceiveMessageBytes = 16 << 20
    let server = try Server(configuration: configuration, methods: methods, logger: logger)
    try server.start()
    return ServerParts(server: server, board: board, hub: hub)
  }

  private func credentials() throws -> ServerCredentials {
    guard let certificate = settings.tlsCertificate, let key = settings.tlsKey else {
      return .insecure
    }
    let chain = try readFile(certificate, "--tls-certificate")
    let privateKey = try readFile(key, "--tls-key")
    guard let roots = settings.tlsClientRoots else {
      return .tls(certificateChain: chain, privateKey: privateKey)
    }
    return .mutualTLS(
      certificateChain: chain, privateKey: privateKey,
      clientRoots: try readFile(roots, "--tls-client-roots"))
  }
}

/// The bytes of a file that a flag names.
func readFile(_ path: String, _ flag: String) throws(CommandFailure) -> [UInt8] {
  do {
    return [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
  } catch {
    throw CommandFailure("\(flag) \(path) cannot be read; check the path and its permissions")
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
