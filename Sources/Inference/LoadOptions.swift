public import Tensors

/// How to bring a model into memory.
public struct LoadOptions: Sendable, Hashable {
  /// The kernels that engines on this model use unless their own options name others.
  public var kernelPath: KernelPath
  /// How engines on this model store keys and values.
  public var keyValueStorage: KeyValueStorage
  /// Where repacked weights are kept for other processes and later starts; `nil` keeps none.
  public var weightCache: WeightCache?
  /// Threads that repack the weights; `nil` takes one a core.
  public var threads: Int?

  /// Makes options.
  public init(
    kernelPath: KernelPath = .auto, keyValueStorage: KeyValueStorage = KeyValueStorage(.f32),
    weightCache: WeightCache? = nil, threads: Int? = nil
  ) {
    self.kernelPath = kernelPath
    self.keyValueStorage = keyValueStorage
    self.weightCache = weightCache
    self.threads = threads
  }
}
