import CKernels

/// Which set of kernels computes. All of them give the same bits; only speed differs.
public enum KernelPath: String, Sendable, Hashable, CaseIterable {
  /// The fastest that this machine can run.
  case auto
  /// Plain C, the reference.
  case scalar
  /// AVX2 with FMA and F16C.
  case avx2
  /// AVX-512 (F, BW, DQ, VL) with VNNI.
  case avx512

  /// Whether this machine can run it.
  public var isSupported: Bool {
    self == .auto || mk_path_supported(kernel)
  }

  /// The path that runs when this one is asked for: never `.auto`.
  public var resolved: KernelPath {
    guard self == .auto else { return self }
    if KernelPath.avx512.isSupported { return .avx512 }
    return KernelPath.avx2.isSupported ? .avx2 : .scalar
  }

  /// The same choice in the kernels' own terms.
  var kernel: mk_path {
    switch self {
    case .auto: resolved.kernel
    case .scalar: MK_PATH_SCALAR
    case .avx2: MK_PATH_AVX2
    case .avx512: MK_PATH_AVX512
    }
  }
}
