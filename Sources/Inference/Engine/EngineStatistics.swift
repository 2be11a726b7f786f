/// What an engine has done since it was made.
public struct EngineStatistics: Sendable, Hashable {
  /// Steps that computed something.
  public var steps: Int = 0
  /// Prompt tokens computed (resumed output counts as prompt here).
  public var prefillTokens: Int = 0
  /// Tokens computed one at a time, to continue an output.
  public var decodeTokens: Int = 0
  /// Tokens emitted.
  public var outputTokens: Int = 0
  /// Seconds spent in steps that held prompt tokens.
  public var prefillSeconds: Double = 0
  /// Seconds spent in steps that held decode tokens only.
  public var decodeSeconds: Double = 0
  /// The most sequences that were in flight at once.
  public var peakSequences: Int = 0
  /// Blocks of the KV cache: all of them.
  public var kvBlocks: Int = 0
  /// Blocks of the KV cache that are reserved now.
  public var kvBlocksInUse: Int = 0

  /// All zero.
  public init() {}
}
