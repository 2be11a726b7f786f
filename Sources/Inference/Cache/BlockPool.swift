/// Which blocks of the KV cache are free.
///
/// A pure value: `take` and `giveBack` are all there is. Blocks are handed out lowest first, so
/// that a lightly used cache touches little memory.
package struct BlockPool {
  /// Blocks in all.
  package let count: Int
  private var free: [Int32]

  /// All blocks are free.
  package init(count: Int) {
    self.count = count
    free = (0..<Int32(count)).reversed()
  }

  /// Blocks that are free.
  package var available: Int { free.count }

  /// Takes `wanted` blocks, or none and `nil` where there are not as many.
  package mutating func take(_ wanted: Int) -> [Int32]? {
    guard wanted >= 0, wanted <= free.count else { return nil }
    let taken = Array(free.suffix(wanted).reversed())
    free.removeLast(wanted)
    return taken
  }

  /// Gives blocks back that `take` returned.
  package mutating func giveBack(_ blocks: [Int32]) {
    free.append(contentsOf: blocks.reversed())
    assert(free.count <= count, "a block was given back twice")
  }
}
