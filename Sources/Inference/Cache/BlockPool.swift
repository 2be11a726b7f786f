/// Which sequences use which blocks of the KV cache, and which blocks hold a prefix worth keeping.
///
///     free ──take──▶ in use (1 or more users) ──release──▶ kept ──take──▶ in use, evicted
///      ▲                        │        ▲                  │
///      └── release, unpublished ┘        └──── find, share ─┘
///
/// A block is *published* when all its tokens are computed: then others with the same prefix may
/// use it too, and it is kept when its last user leaves, until room is needed. Kept blocks are
/// evicted in the order in which they were left, those of a sequence from its end, so that a block
/// never goes before one that hangs on it.
///
/// A pure value; nothing but `init` allocates. Blocks that were never used are handed out lowest
/// first, so that a lightly used cache touches little memory.
package struct BlockPool {
  /// Blocks in all.
  package let count: Int
  /// Tokens in a block.
  package let blockTokens: Int
  /// Kept blocks that were given to others so far.
  package private(set) var evictions = 0
  private(set) var users: [Int32]
  /// How often each block was taken: tells contents of the same block apart.
  private(set) var takings: [UInt32]
  private(set) var free: [Int32]
  private(set) var kept: BlockQueue
  private(set) var prefixes: PrefixIndex?

  /// All blocks are free. Without `cachesPrefixes`, none is ever shared or kept.
  package init(count: Int, blockTokens: Int, cachesPrefixes: Bool) {
    self.count = count
    self.blockTokens = blockTokens
    users = Array(repeating: 0, count: count)
    takings = Array(repeating: 0, count: count)
    free = (0..<Int32(count)).reversed()
    kept = BlockQueue(capacity: count)
    prefixes = cachesPrefixes ? PrefixIndex(blocks: count, blockTokens: blockTokens) : nil
  }

  /// Blocks that could be taken now.
  package var available: Int { free.count + kept.count }
  /// Blocks that no sequence uses, kept for those to come.
  package var keptCount: Int { kept.count }
  /// Whether blocks are shared and kept.
  package var cachesPrefixes: Bool { prefixes != nil }

  /// Blocks that `tokens` tokens need.
  package func blocks(for tokens: Int) -> Int { (tokens + blockTokens - 1) / blockTokens }

  /// Takes a block for one user, its content lost; `nil` when all are in use.
  package mutating func take() -> Int32? {
    let block: Int32
    if let last = free.popLast() {
      block = last
    } else if let first = kept.first {
      block = first
      kept.remove(block)
      prefixes?.remove(block)
      evictions += 1
    } else {
      return nil
    }
    users[Int(block)] = 1
    takings[Int(block)] &+= 1
    return block
  }

  /// One more user of a block that has one.
  package mutating func retain(_ block: Int32) {
    assert(users[Int(block)] > 0, "a block without users was shared")
    users[Int(block)] += 1
  }

  /// One user fewer. The last one leaves a published block to be kept, and any other free.
  package mutating func release(_ block: Int32) {
    assert(users[Int(block)] > 0, "a block was released twice")
    users[Int(block)] -= 1
    guard users[Int(block)] == 0 else { return }
    if prefixes?.parent(of: block) != nil {
      kept.append(block)
    } else {
      free.append(block)
    }
  }

  /// Releases a sequence's blocks, its last one first.
  package mutating func release(all blocks: [Int32]) {
    for block in blocks.reversed() { release(block) }
  }

  /// Finds the published block of these tokens, and takes part in it as one more user.
  ///
  /// - Parameters:
  ///   - tokens: as many as a block holds.
  ///   - previous: the block before it, which the caller uses; `nil` at the beginning of a text.
  ///   - salt: what texts must have in common to share blocks.
  package mutating func share(
    _ tokens: ArraySlice<Int32>, after previous: Int32?, salt: String?
  ) -> Int32? {
    guard let block = prefixes?.find(tokens, after: Self.parent(previous, salt)) else { return nil }
    if users[Int(block)] == 0 { kept.remove(block) }
    users[Int(block)] += 1
    return block
  }

  /// Makes known that a block holds the keys and values of these tokens; parameters as in `share`.
  ///
  /// Returns the block to use from now on: where another one with the same content was published
  /// before, that one is shared instead and the given one released.
  package mutating func publish(
    _ block: Int32, _ tokens: ArraySlice<Int32>, after previous: Int32?, salt: String?
  ) -> Int32 {
    guard prefixes != nil else { return block }
    if let earlier = share(tokens, after: previous, salt: salt) {
      release(block)
      return earlier
    }
    prefixes?.insert(block, tokens, after: Self.parent(previous, salt))
    return block
  }

  private static func parent(_ previous: Int32?, _ salt: String?) -> PrefixIndex.Parent {
    previous.map { .block($0) } ?? .beginning(salt: salt)
  }
}
