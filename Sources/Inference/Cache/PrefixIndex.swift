/// Finds the block that holds the keys and values of given tokens behind a given prefix.
///
/// Full blocks form chains: the first block of a text hangs on its salt, every other one on the
/// block before it. So a block stands for all the tokens from the beginning of the text to its own
/// end, which is what its keys and values are a function of.
///
/// A hash table of fixed size (chained, SipHash with a key of the process's own) finds candidates;
/// tokens and parent are then compared, so that two prefixes are never taken for one another,
/// whatever their hashes. This holds as long as a block leaves the index no sooner than those that
/// hang on it; `BlockPool` sees to that.
package struct PrefixIndex {
  /// What a block hangs on.
  package enum Parent: Hashable {
    /// Nothing: it is the first of a text. Texts with different salts share no blocks.
    case beginning(salt: String?)
    /// The block with the tokens before it.
    case block(Int32)
  }

  private struct Entry {
    let parent: Parent
    let bucket: Int
    var next: Int32?
  }

  /// Tokens in a block.
  package let blockTokens: Int
  /// Blocks that can be found.
  package private(set) var count = 0
  private var buckets: [Int32?]
  private var entries: [Entry?]
  /// The tokens of all blocks, [block][token].
  private var tokens: [Int32]

  /// An empty index of blocks below `blocks`; `buckets` is there for tests that want collisions.
  package init(blocks: Int, blockTokens: Int, buckets: Int? = nil) {
    self.blockTokens = blockTokens
    self.buckets = Array(repeating: nil, count: buckets ?? max(blocks, 1))
    entries = Array(repeating: nil, count: blocks)
    tokens = Array(repeating: 0, count: blocks * blockTokens)
  }

  /// The block of these tokens behind this parent.
  package func find(_ wanted: ArraySlice<Int32>, after parent: Parent) -> Int32? {
    var candidate = buckets[bucket(wanted, parent)]
    while let block = candidate {
      if let entry = entries[Int(block)], entry.parent == parent,
        tokens[range(block)].elementsEqual(wanted)
      {
        return block
      }
      candidate = entries[Int(block)]?.next
    }
    return nil
  }

  /// What a block hangs on; `nil` if it is not in the index.
  package func parent(of block: Int32) -> Parent? { entries[Int(block)]?.parent }

  /// Adds a block that is not in the index, with tokens and parent that no other one has.
  package mutating func insert(_ block: Int32, _ new: ArraySlice<Int32>, after parent: Parent) {
    let bucket = bucket(new, parent)
    entries[Int(block)] = Entry(parent: parent, bucket: bucket, next: buckets[bucket])
    buckets[bucket] = block
    for (place, token) in zip(range(block), new) { tokens[place] = token }
    count += 1
  }

  /// Takes a block out; nothing happens if it is not in the index.
  package mutating func remove(_ block: Int32) {
    guard let entry = entries[Int(block)] else { return }
    entries[Int(block)] = nil
    count -= 1
    guard var before = buckets[entry.bucket], before != block else {
      buckets[entry.bucket] = entry.next
      return
    }
    while let next = entries[Int(before)]?.next, next != block { before = next }
    entries[Int(before)]?.next = entry.next
  }

  private func range(_ block: Int32) -> Range<Int> {
    Int(block) * blockTokens..<(Int(block) + 1) * blockTokens
  }

  private func bucket(_ tokens: ArraySlice<Int32>, _ parent: Parent) -> Int {
    var hasher = Hasher()
    hasher.combine(parent)
    tokens.withUnsafeBytes { hasher.combine(bytes: $0) }
    return Int(UInt(bitPattern: hasher.finalize()) % UInt(buckets.count))
  }
}
