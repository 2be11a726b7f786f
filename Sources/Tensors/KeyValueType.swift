import CKernels

/// How keys and values are stored in the cache; what each rounds to is told at `mk_kv_type`.
public enum KeyValueType: String, Sendable, Hashable, CaseIterable {
  /// As they are computed, 4 bytes an element.
  case f32
  /// IEEE half precision, 2 bytes.
  case f16
  /// bfloat16, 2 bytes.
  case bf16
  /// 1 byte, and a scale of 4 bytes for each token and head.
  case int8

  /// Bytes of an element, without the scales.
  package var elementBytes: Int {
    switch self {
    case .f32: 4
    case .f16, .bf16: 2
    case .int8: 1
    }
  }

  /// Bytes of the scale of one head of one token.
  package var scaleBytes: Int { self == .int8 ? MemoryLayout<Float>.size : 0 }

  var kernel: mk_kv_type {
    switch self {
    case .f32: MK_KV_F32
    case .f16: MK_KV_F16
    case .bf16: MK_KV_BF16
    case .int8: MK_KV_INT8
    }
  }
}
