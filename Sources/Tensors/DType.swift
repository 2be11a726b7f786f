import CKernels

/// How the elements of a weight tensor are stored.
public enum DType: String, Sendable, Hashable, CaseIterable {
  /// 32-bit floats.
  case f32
  /// IEEE half-precision floats.
  case f16
  /// The upper halves of 32-bit floats.
  case bf16
  /// Blocks of 32 signed bytes with a half-precision scale.
  case q8 = "q8_0"

  /// Elements that are stored together along a row.
  public var blockElements: Int { self == .q8 ? 32 : 1 }

  /// Bytes of one block.
  public var blockBytes: Int {
    switch self {
    case .f32: 4
    case .f16, .bf16: 2
    case .q8: 34
    }
  }

  /// Whether activations are quantized before they meet weights of this type.
  public var quantizesActivations: Bool { self == .q8 }

  /// Bytes of a row of `columns` elements, a multiple of `blockElements`.
  public func rowBytes(columns: Int) -> Int { columns / blockElements * blockBytes }

  var kernel: mk_weight_type {
    switch self {
    case .f32: MK_WEIGHT_F32
    case .f16: MK_WEIGHT_F16
    case .bf16: MK_WEIGHT_BF16
    case .q8: MK_WEIGHT_Q8_0
    }
  }
}
