import Tensors

/// Memory for one packed tensor.
struct WeightRegion {
  /// The first byte, aligned to `PackedLayout.alignment`.
  let base: UnsafeMutableRawPointer
  /// Whom the memory belongs to.
  let owner: AnyObject
  /// Whether the packed tensor is there already; then nothing may be written.
  let isFilled: Bool
}

/// Where packed weights live: in the process, or in a file that all processes of a machine share.
protocol WeightMemory: AnyObject {
  /// The memory for what `key` names, the same `byteCount` for the same key; throws `outOfMemory`.
  func region(_ key: String, byteCount: Int) throws(InferenceError) -> WeightRegion
}

/// Memory of the process.
final class HeapWeights: WeightMemory {
  func region(_ key: String, byteCount: Int) throws(InferenceError) -> WeightRegion {
    do {
      let buffer = try AlignedBuffer<UInt8>(count: byteCount, zeroed: false, largePages: true)
      return WeightRegion(base: buffer.base, owner: buffer, isFilled: false)
    } catch {
      throw InferenceError(error)
    }
  }
}
