/// What an engine has done since it was made.
public struct EngineStatistics: Sendable, Hashable {
  /// Steps that computed something.
  public var steps: Int = 0
  /// Prompt tokens computed. Resumed output counts as prompt here, and so do tokens computed again
  /// after a preemption.
  public var prefillTokens: Int = 0
  /// Tokens computed one at a time, to continue an output.
  public var decodeTokens: Int = 0
  /// Rounds of speculation: outputs for which tokens were drafted in a step.
  public var draftRounds: Int = 0
  /// Tokens drafted.
  public var draftedTokens: Int = 0
  /// Drafted tokens that were accepted.
  public var acceptedTokens: Int = 0
  /// Choices of a token under a constraint, and the seconds that it took to find out which tokens
  /// the constraint allows, on whichever threads.
  public var maskedChoices: Int = 0
  public var maskSeconds: Double = 0
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
  /// Bytes of one block of the KV cache.
  public var kvBlockBytes: Int = 0
  /// Blocks of the KV cache that sequences use now.
  public var kvBlocksInUse: Int = 0
  /// Blocks of the KV cache that no sequence uses now, kept for those to come with the same prefix.
  public var kvBlocksKept: Int = 0
  /// Admissions for which the prefix cache was asked.
  public var prefixLookups: Int = 0
  /// Tokens that the prefix cache spared computing.
  public var prefixHitTokens: Int = 0
  /// Kept blocks that were given up because others needed the room.
  public var prefixEvictions: Int = 0
  /// Times that a sequence had to give up its blocks for others and was put back.
  public var preemptions: Int = 0

  /// All zero.
  public init() {}
}
