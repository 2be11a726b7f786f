import Tensors

/// The blocks that hold a sequence's keys and values, in order, where kernels can read them.
final class BlockTable {
  /// The blocks, to be given back to the pool.
  let blocks: [Int32]
  private let storage: AlignedBuffer<Int32>

  /// Copies the numbers; throws `outOfMemory`.
  init(_ blocks: [Int32]) throws(InferenceError) {
    do {
      storage = try AlignedBuffer(count: blocks.count)
    } catch {
      throw InferenceError(error)
    }
    self.blocks = blocks
    for (index, block) in blocks.enumerated() { storage.base[index] = block }
  }

  /// The first number; valid as long as the table is.
  var base: UnsafePointer<Int32> { UnsafePointer(storage.base) }
}
