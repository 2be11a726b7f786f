/// A prompt for the engine to continue.
public struct GenerationRequest: Sendable, Hashable {
  /// The caller's name for the request; unique among those in flight.
  public var sequence: UInt64
  /// The prompt, with the begin-of-text token where the model wants one.
  public var promptTokens: [Int32]
  /// Output committed earlier, when a request is taken up again: the tokens of each output, none for
  /// those that are missing at the end. The detokenizer and the stop matcher are brought to the state
  /// they had after these, and nothing is emitted for them.
  public var resumedOutputs: [[Int32]]
  /// How to choose tokens and when to end.
  public var options: SamplingOptions
  /// Whether tokens are drafted ahead; changes nothing but the time that it takes.
  public var speculation: Speculation
  /// Where not all can run, sequences of a higher one go first, and those of the lowest give way.
  public var priority: Int
  /// Sequences share computed prefixes only with those of the same salt. Whether another one has
  /// computed a prefix shows in the time that one takes; who must not learn that of one another (two
  /// tenants) get different salts. Nothing else depends on it.
  public var cacheSalt: String?
  /// Tokens that the output begins with, whatever the model has to say: for measurements that depend
  /// on what the output is. Each is chosen as others are, from logits that leave only this one.
  package var forcedTokens: [Int32] = []

  /// The same where there is one output.
  public var resumedTokens: [Int32] {
    get { resumed(output: 0) }
    set { resumedOutputs = [newValue] }
  }

  /// Whether some output was committed earlier.
  var isResumed: Bool { resumedOutputs.contains { !$0.isEmpty } }

  /// Output of one output committed earlier.
  func resumed(output: Int) -> [Int32] {
    output < resumedOutputs.count ? resumedOutputs[output] : []
  }

  /// Makes a request.
  public init(
    sequence: UInt64, promptTokens: [Int32], resumedOutputs: [[Int32]] = [],
    options: SamplingOptions = SamplingOptions(), speculation: Speculation = .off,
    priority: Int = 0, cacheSalt: String? = nil
  ) {
    self.sequence = sequence
    self.promptTokens = promptTokens
    self.resumedOutputs = resumedOutputs
    self.options = options
    self.speculation = speculation
    self.priority = priority
    self.cacheSalt = cacheSalt
  }
}
