import Inference
public import JobQueue
import Synchronization

extension Executor: CacheReporter {
  public func cacheStatistics() -> [CacheStatistics] {
    let statistics = running.withLock { $0?.statistics } ?? [:]
    return models.compactMap { served in
      guard let done = statistics[served.name] else { return nil }
      var cache = CacheStatistics(
        model: served.name, storage: served.model.keyValueStorage.description)
      cache.blocks = Int64(done.kvBlocks)
      cache.blockBytes = Int64(done.kvBlockBytes)
      cache.blockTokens = Int64(served.options.kvBlockTokens)
      cache.blocksInUse = Int64(done.kvBlocksInUse)
      cache.blocksKept = Int64(done.kvBlocksKept)
      cache.prefixLookups = Int64(done.prefixLookups)
      cache.prefixHitTokens = Int64(done.prefixHitTokens)
      cache.computedPromptTokens = Int64(done.prefillTokens)
      cache.evictions = Int64(done.prefixEvictions)
      cache.preemptions = Int64(done.preemptions)
      return cache
    }
  }
}
