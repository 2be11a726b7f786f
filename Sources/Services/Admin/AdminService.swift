public import JobQueue
public import Logging
import Messages
public import RPC

/// `millrace.v1.AdminService`: for those who run the service.
public struct AdminService: Sendable {
  let store: any JobStore
  let caches: any CacheReporter
  let logger: Logger

  public init(store: any JobStore, caches: any CacheReporter, logger: Logger) {
    self.store = store
    self.caches = caches
    self.logger = logger
  }

  public var methods: [MethodHandler] {
    let methods = TypedMethods(service: "millrace.v1.AdminService", logger: logger)
    return [
      methods.unary("GetQueueStats", queueStats),
      methods.unary("ListExecutors", listExecutors),
      methods.unary("DrainExecutor", drainExecutor),
      methods.unary("GetCacheStats", cacheStats),
    ]
  }

  private func queueStats(
    _ request: Millrace_V1_GetQueueStatsRequest, _ context: ServerContext
  ) async throws -> Millrace_V1_QueueStats {
    let statistics = try await store.statistics()
    var message = Millrace_V1_QueueStats()
    message.queued = statistics.jobs[.queued] ?? 0
    message.running = statistics.jobs[.running] ?? 0
    message.succeeded = statistics.jobs[.succeeded] ?? 0
    message.failed = statistics.jobs[.failed] ?? 0
    message.cancelled = statistics.jobs[.cancelled] ?? 0
    message.expired = statistics.jobs[.expired] ?? 0
    message.outputTokens = statistics.outputTokens
    if let time = statistics.oldestReadyTime { message.oldestReadyTime = time.message }
    return message
  }

  private func listExecutors(
    _ request: Millrace_V1_ListExecutorsRequest, _ context: ServerContext
  ) async throws -> Millrace_V1_ListExecutorsResponse {
    var response = Millrace_V1_ListExecutorsResponse()
    response.executors = try await store.executors().map(\.message)
    return response
  }

  private func drainExecutor(
    _ request: Millrace_V1_DrainExecutorRequest, _ context: ServerContext
  ) async throws -> Millrace_V1_DrainExecutorResponse {
    guard !request.id.isEmpty else { throw ServiceError.invalid("id", "is required") }
    guard let id = ExecutorID(request.id), try await store.drain(id) else {
      throw ServiceError.executorNotFound(request.id)
    }
    return Millrace_V1_DrainExecutorResponse()
  }

  private func cacheStats(
    _ request: Millrace_V1_GetCacheStatsRequest, _ context: ServerContext
  ) async throws -> Millrace_V1_CacheStats {
    var answer = Millrace_V1_CacheStats()
    answer.models = caches.cacheStatistics().map(\.message)
    return answer
  }
}

extension CacheStatistics {
  var message: Millrace_V1_ModelCacheStats {
    var message = Millrace_V1_ModelCacheStats()
    message.model = model
    message.storage = storage
    message.blocks = blocks
    message.blockBytes = blockBytes
    message.blockTokens = blockTokens
    message.blocksInUse = blocksInUse
    message.blocksKept = blocksKept
    message.prefixLookups = prefixLookups
    message.prefixHitTokens = prefixHitTokens
    message.computedPromptTokens = computedPromptTokens
    message.evictions = evictions
    message.preemptions = preemptions
    return message
  }
}

extension ExecutorStatus {
  var message: Millrace_V1_Executor {
    var message = Millrace_V1_Executor()
    message.id = description.id.description
    message.host = description.host
    message.processID = description.processID
    message.models = description.models
    message.slots = description.slots
    message.runningJobs = runningJobs
    message.startTime = startTime.message
    message.heartbeatTime = heartbeatTime.message
    message.expireTime = expireTime.message
    message.draining = isDraining
    return message
  }
}
