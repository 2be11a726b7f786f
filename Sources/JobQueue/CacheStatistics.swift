/// What the KV cache of one served model holds, and what it spared since the service began.
public struct CacheStatistics: Hashable, Sendable {
  /// The model's name.
  public var model: String
  /// How keys and values are stored, such as `f32`.
  public var storage: String
  /// Blocks in all.
  public var blocks: Int64 = 0
  /// Bytes of one block.
  public var blockBytes: Int64 = 0
  /// Tokens in one block.
  public var blockTokens: Int64 = 0
  /// Blocks that running jobs use.
  public var blocksInUse: Int64 = 0
  /// Blocks that no job uses, kept for those to come with the same beginning.
  public var blocksKept: Int64 = 0
  /// Times that a job looked for its beginning in the cache.
  public var prefixLookups: Int64 = 0
  /// Prompt tokens that were found there.
  public var prefixHitTokens: Int64 = 0
  /// Prompt tokens that were computed.
  public var computedPromptTokens: Int64 = 0
  /// Kept blocks that were given up for lack of room.
  public var evictions: Int64 = 0
  /// Times that a running job stepped back for lack of room.
  public var preemptions: Int64 = 0

  /// An empty cache of no size.
  public init(model: String, storage: String) {
    self.model = model
    self.storage = storage
  }
}

/// Who can tell about the KV caches of this process.
public protocol CacheReporter: Sendable {
  /// One for each model, in the order of their names; none before the engines are there.
  func cacheStatistics() -> [CacheStatistics]
}
