public import Tensors

/// How to bring a model into memory.
public struct LoadOptions: Sendable, Hashable {
  /// The kernels that engines on this model use unless their own options name others.
  public var kernelPath: KernelPath
  /// Threads that repack the weights; `nil` takes one a core.
  public var threads: Int?

  /// Makes options.
  public init(kernelPath: KernelPath = .auto, threads: Int? = nil) {
    self.kernelPath = kernelPath
    self.threads = threads
  }
}
