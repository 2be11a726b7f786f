public import Tensors

/// How much an engine may hold and do at once.
///
/// None of these changes a byte of any output: they trade memory, latency and throughput only. The
/// exception is `contextLength`, where an output that meets it ends there.
public struct EngineOptions: Sendable, Hashable {
  /// The most sequences in flight at once, those that wait for room in the KV cache included.
  public var maxSequences: Int
  /// The most prompt and decode tokens computed in one step.
  public var maxTokensPerStep: Int
  /// The most prompt tokens of one sequence computed in one step.
  public var prefillChunk: Int
  /// How long a sequence may have to wait for its next token because prompts are computed in the same
  /// step: these are then taken in smaller parts. `nil` for throughput alone.
  public var tokenLatency: Duration?
  /// The most tokens, prompt and output together, of one sequence; `nil` takes the smaller of what
  /// the model was trained for and 4,096.
  public var contextLength: Int?
  /// Compute threads, the calling one included; `nil` takes one a core.
  public var threads: Int?
  /// Which kernels to run.
  public var kernelPath: KernelPath
  /// Tokens in one block of the KV cache, a multiple of 16.
  public var kvBlockTokens: Int
  /// Bytes for the KV cache; `nil` takes room for `maxSequences` full contexts, at most 2 GiB (but
  /// always room for one).
  public var kvCacheBytes: Int?
  /// Whether computed prefixes are kept and shared by the sequences that begin with them.
  public var cachesPrefixes: Bool

  /// Makes options; each has a default that suits a small machine.
  public init(
    maxSequences: Int = 16, maxTokensPerStep: Int = 512, prefillChunk: Int = 256,
    tokenLatency: Duration? = nil, contextLength: Int? = nil, threads: Int? = nil,
    kernelPath: KernelPath = .auto,
    kvBlockTokens: Int = 32, kvCacheBytes: Int? = nil, cachesPrefixes: Bool = true
  ) {
    self.maxSequences = maxSequences
    self.maxTokensPerStep = maxTokensPerStep
    self.prefillChunk = prefillChunk
    self.tokenLatency = tokenLatency
    self.contextLength = contextLength
    self.threads = threads
    self.kernelPath = kernelPath
    self.kvBlockTokens = kvBlockTokens
    self.kvCacheBytes = kvCacheBytes
    self.cachesPrefixes = cachesPrefixes
  }
}
