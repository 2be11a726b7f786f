/// Blocks in the order in which they were added, any of which can leave in constant time.
///
/// A doubly linked list threaded through two arrays that are as long as the pool, so that no
/// operation allocates. A block is in it once at most.
struct BlockQueue {
  /// Blocks in the queue.
  private(set) var count = 0
  /// The block that was added longest ago.
  private(set) var first: Int32?
  private var last: Int32?
  private var next: [Int32?]
  private var previous: [Int32?]

  /// An empty queue for blocks below `capacity`.
  init(capacity: Int) {
    next = Array(repeating: nil, count: capacity)
    previous = Array(repeating: nil, count: capacity)
  }

  /// Adds a block that is not in the queue, as the youngest.
  mutating func append(_ block: Int32) {
    previous[Int(block)] = last
    next[Int(block)] = nil
    if let last { next[Int(last)] = block } else { first = block }
    last = block
    count += 1
  }

  /// Takes out a block that is in the queue, wherever it stands.
  mutating func remove(_ block: Int32) {
    let (before, after) = (previous[Int(block)], next[Int(block)])
    if let before { next[Int(before)] = after } else { first = after }
    if let after { previous[Int(after)] = before } else { last = before }
    count -= 1
  }

  /// The blocks, oldest first.
  var blocks: [Int32] {
    var result: [Int32] = []
    var block = first
    while let current = block {
      result.append(current)
      block = next[Int(current)]
    }
    return result
  }
}
