import Inference
import TestModels
import Testing

@Suite("Block pool")
struct BlockPoolTests {
  private static func pool(_ count: Int, caching: Bool = true) -> BlockPool {
    BlockPool(count: count, blockTokens: 2, cachesPrefixes: caching)
  }

  /// Takes a block for each pair of tokens and publishes it.
  private static func fill(
    _ pool: inout BlockPool, _ tokens: [Int32], salt: String? = nil
  ) -> [Int32] {
    var blocks: [Int32] = []
    for start in stride(from: 0, to: tokens.count, by: 2) {
      guard let block = pool.take() else { break }
      blocks.append(
        pool.publish(block, tokens[start..<start + 2], after: blocks.last, salt: salt))
    }
    return blocks
  }

  @Test("Hands out the lowest blocks first, then those given back, and no more than there are")
  func takes() {
    var pool = Self.pool(3)
    #expect([pool.take(), pool.take(), pool.take(), pool.take()] == [0, 1, 2, nil])
    pool.release(1)
    #expect(pool.available == 1 && pool.take() == 1 && pool.available == 0)
    #expect(pool.problem(users: [[0, 1, 2]]) == nil)
    #expect(pool.evictions == 0)
  }

  @Test("Keeps a published block when its last user leaves, and finds it again")
  func keeps() {
    var pool = Self.pool(4)
    let blocks = Self.fill(&pool, [5, 6, 7, 8])
    #expect(pool.share([5, 6], after: nil, salt: nil) == blocks[0])
    pool.release(all: blocks)
    #expect(pool.keptCount == 1 && pool.available == 3)
    #expect(pool.share([7, 8], after: blocks[0], salt: nil) == blocks[1])
    #expect(pool.share([7, 9], after: blocks[0], salt: nil) == nil)
    #expect(pool.share([7, 8], after: nil, salt: nil) == nil)
    #expect(pool.keptCount == 0)
    #expect(pool.problem(users: [blocks]) == nil)
  }

  @Test("Evicts what was left longest ago, and what hangs on a block before it")
  func evicts() {
    var pool = Self.pool(4)
    let old = Self.fill(&pool, [1, 1, 2, 2])
    let young = Self.fill(&pool, [3, 3, 4, 4])
    pool.release(all: old)
    pool.release(all: young)
    #expect(pool.keptCount == 4 && pool.problem(users: []) == nil)
    // Used once more, so that it is the youngest.
    #expect(pool.share([1, 1], after: nil, salt: nil) == old[0])
    pool.release(old[0])
    #expect(
      [pool.take(), pool.take(), pool.take(), pool.take()] == [old[1], young[1], young[0], old[0]])
    #expect(pool.evictions == 4 && pool.take() == nil)
    #expect(pool.share([1, 1], after: nil, salt: nil) == nil)
  }

  @Test("Two that computed the same use one block from then on")
  func merges() {
    var pool = Self.pool(4)
    let first = Self.fill(&pool, [1, 2, 3, 4])
    let second = Self.fill(&pool, [1, 2, 3, 4])
    #expect(first == second && pool.available == 2)
    #expect(pool.problem(users: [first, second]) == nil)
    pool.release(all: first)
    #expect(pool.keptCount == 0)
    pool.release(all: second)
    #expect(pool.keptCount == 2 && pool.available == 4)
  }

  @Test("Texts of different salts share nothing")
  func salts() {
    var pool = Self.pool(8)
    let blocks = ["a", "b", nil].map { Self.fill(&pool, [1, 2, 3, 4], salt: $0) }
    #expect(Set(blocks.joined()).count == 6)
    #expect(pool.share([1, 2], after: nil, salt: "c") == nil)
    #expect(pool.share([1, 2], after: nil, salt: "b") == blocks[1][0])
  }

  @Test("Without a prefix cache nothing is shared or kept")
  func off() {
    var pool = Self.pool(4, caching: false)
    let blocks = Self.fill(&pool, [1, 2, 3, 4]) + Self.fill(&pool, [1, 2, 3, 4])
    #expect(blocks == [0, 1, 2, 3])
    pool.release(all: blocks)
    #expect(pool.keptCount == 0 && pool.available == 4 && pool.problem(users: []) == nil)
    #expect(pool.share([1, 2], after: nil, salt: nil) == nil && pool.evictions == 0)
  }

  @Test("The books are right after any use", arguments: 1...20)
  func randomUse(seed: UInt64) {
    var numbers = SeededNumbers(seed: seed)
    var pool = Self.pool(Int.random(in: 1...12, using: &numbers))
    var texts: [[Int32]] = []
    for _ in 0..<600 {
      if Bool.random(using: &numbers) {
        grow(&texts, &pool, &numbers)
      } else if let index = texts.indices.randomElement(using: &numbers) {
        pool.release(all: texts.remove(at: index))
      }
      #expect(pool.problem(users: texts) == nil)
    }
    for text in texts { pool.release(all: text) }
    #expect(pool.available == pool.count)
  }

  /// Begins a text, or lengthens one by a block that it finds, or takes and publishes.
  private func grow(
    _ texts: inout [[Int32]], _ pool: inout BlockPool, _ numbers: inout SeededNumbers
  ) {
    if texts.isEmpty || Int.random(in: 0..<4, using: &numbers) == 0 { texts.append([]) }
    guard let index = texts.indices.randomElement(using: &numbers) else { return }
    let new = [Int32.random(in: 0...1, using: &numbers), 0]
    let last = texts[index].last
    if let found = pool.share(new[...], after: last, salt: nil) {
      texts[index].append(found)
    } else if let block = pool.take() {
      texts[index].append(pool.publish(block, new[...], after: last, salt: nil))
    }
  }
}
