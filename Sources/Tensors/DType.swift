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
  /// Blocks of 32 five-bit numbers with a half-precision scale.
  case q5 = "q5_0"
  /// Blocks of 32 four-bit numbers with a half-precision scale.
  case q4 = "q4_0"
  /// Blocks of 256 four-bit numbers with a scale and a minimum for each 32.
  case q4K = "q4_K"
  /// Blocks of 256 six-bit numbers with a scale for each 16.
  case q6K = "q6_K"

  /// Elements that are stored together along a row.
  public var blockElements: Int {
    switch self {
    case .f32, .f16, .bf16: 1
    case .q8, .q5, .q4: 32
    case .q4K, .q6K: 256
    }
  }

  /// Bytes of one block.
  public var blockBytes: Int {
    switch self {
    case .f32: 4
    case .f16, .bf16: 2
    case .q8: 34
    case .q5: 22
    case .q4: 18
    case .q4K: 144
    case .q6K: 210
    }
  }

  /// Whether activations are quantized before they meet weights of this type.
  public var quantizesActivations: Bool { blockElements > 1 }

  /// Bytes of a row of `columns` elements, a multiple of `blockElements`.
  public func rowBytes(columns: Int) -> Int { columns / blockElements * blockBytes }

  var kernel: mk_weight_type {
    switch self {
    case .f32: MK_WEIGHT_F32
    case .f16: MK_WEIGHT_F16
    case .bf16: MK_WEIGHT_BF16
    case .q8: MK_WEIGHT_Q8_0
    case .q5: MK_WEIGHT_Q5_0
    case .q4: MK_WEIGHT_Q4_0
    case .q4K: MK_WEIGHT_Q4_K
    case .q6K: MK_WEIGHT_Q6_K
    }
  }
}
