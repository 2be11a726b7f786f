import Foundation
import JobQueue
import Logging
import Messages
import RPC
import Services
import SwiftProtobuf
import Testing

/// All services on an in-memory store, behind a real server on a socket, with a client.
struct ServiceScene {
  let store: InMemoryJobStore
  let board = HealthBoard(services: ["millrace.v1.JobService"])
  let client: Client

  /// Serves while the body runs.
  static func run(
    maxQueuedJobs: Int = JobLimits.defaultQueuedJobs,
    _ body: (ServiceScene) async throws -> Void
  ) async throws {
    let path = FileManager.default.temporaryDirectory
      .appendingPathComponent("s-\(UUID().uuidString.prefix(8)).sock").path
    let scene = try ServiceScene(path: path, maxQueuedJobs: maxQueuedJobs)
    let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    let hub = WatchHub(store: scene.store, pollInterval: .milliseconds(50), logger: logger)
    let names = ["millrace.v1.JobService"]
    let methods =
      JobService(store: scene.store, catalog: OneModel(), hub: hub, logger: logger).methods
      + ModelService(catalog: OneModel(), logger: logger).methods
      + AdminService(store: scene.store, caches: OneCache(), logger: logger).methods
      + HealthService(board: scene.board, logger: logger).methods
      + (try ReflectionService(services: names).methods)
    let server = try Server(
      configuration: ServerConfiguration(addresses: [.unix(path: path)], completionQueues: 1),
      methods: methods, logger: logger)
    try server.start()
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { await hub.run() }
      let result: Result<Void, any Error>
      do {
        result = .success(try await body(scene))
      } catch {
        result = .failure(error)
      }
      group.cancelAll()
      await scene.client.shutDown()
      await server.shutDownGracefully(within: .zero)
      try result.get()
    }
  }

  private init(path: String, maxQueuedJobs: Int) throws {
    store = InMemoryJobStore(maxQueuedJobs: maxQueuedJobs)
    client = try Client(configuration: ClientConfiguration(address: .unix(path: path)))
  }

  func call<Response: Message>(
    _ method: String, _ request: some Message, tenant: String? = nil,
    as _: Response.Type = Response.self
  ) async throws -> Response {
    var metadata = Metadata()
    if let tenant { metadata.append("millrace-tenant", tenant) }
    let bytes = try await client.unary(
      "/" + method, try request.serializedBytes(), options: CallOptions(metadata: metadata))
    return try Response(serializedBytes: bytes)
  }

  /// The error of a call that must fail, with its `google.rpc.Status`.
  func failure(
    of method: String, _ request: some Message
  ) async throws -> (error: RPCError, status: Google_Rpc_Status) {
    do {
      _ = try await client.unary("/" + method, try request.serializedBytes())
    } catch let error as RPCError {
      let details = try #require(error.details)
      return (error, try Google_Rpc_Status(serializedBytes: details))
    }
    throw Succeeded()
  }

  struct Succeeded: Error {}

  static func request(
    _ change: (inout Millrace_V1_SubmitJobRequest) -> Void = { _ in }
  ) -> Millrace_V1_SubmitJobRequest {
    var request = Millrace_V1_SubmitJobRequest()
    request.spec.model = "story"
    request.spec.prompt = "Once"
    change(&request)
    return request
  }
}

/// One model whose tokens are the prompt's bytes.
struct OneModel: ModelCatalog {
  let models = [
    ModelDescription(
      name: "story", fingerprint: "f", architecture: "llama", parameterCount: 7,
      vocabularySize: 256, contextLength: 100, hasChatTemplate: false)
  ]

  func promptTokenCount(_ prompt: Prompt, model: String) throws(JobFailure) -> Int {
    if case .text(let text) = prompt { return text.utf8.count }
    return 1
  }
}

/// One cache of one model, every number another one.
struct OneCache: CacheReporter {
  func cacheStatistics() -> [CacheStatistics] {
    var cache = CacheStatistics(model: "story", storage: "int8,0=f32")
    (cache.blocks, cache.blockBytes, cache.blockTokens) = (100, 2, 32)
    (cache.blocksInUse, cache.blocksKept) = (5, 6)
    (cache.prefixLookups, cache.prefixHitTokens, cache.computedPromptTokens) = (7, 8, 9)
    (cache.evictions, cache.preemptions) = (10, 11)
    return [cache]
  }
}
