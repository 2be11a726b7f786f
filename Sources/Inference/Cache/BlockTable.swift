import Tensors

/// The blocks that hold a sequence's keys and values, in order, where kernels can read them.
///
/// Its memory is as long as the sequence can come to need and never moves, so that a pointer to it
/// stays good while the sequence takes blocks, shares them and gives them back.
final class BlockTable {
  private let storage: AlignedBuffer<Int32>

  /// Makes room for the numbers of `capacity` blocks; throws `outOfMemory`.
  init(capacity: Int) throws(InferenceError) {
    do {
      storage = try AlignedBuffer(count: capacity)
    } catch {
      throw InferenceError(error)
    }
  }

  /// Writes the numbers of at most `capacity` blocks.
  func set(_ blocks: [Int32]) {
    assert(blocks.count <= storage.count, "a sequence has more blocks than it may come to need")
    for (index, block) in blocks.enumerated() { storage.base[index] = block }
  }

  /// The first number; valid as long as the table is.
  var base: UnsafePointer<Int32> { UnsafePointer(storage.base) }
}
