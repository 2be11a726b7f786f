/// Two neighbouring symbols that together are a piece.
struct Bigram {
  /// The piece's score: the higher, the sooner it is merged.
  let score: Float
  /// The index of the left symbol: of equal scores, the leftmost is merged first.
  let left: Int
  /// The index of the right symbol.
  let right: Int
  /// Bytes of both together: tells a bigram that was overtaken by another merge.
  let length: Int

  func comes(before other: Bigram) -> Bool {
    score != other.score ? score > other.score : left < other.left
  }
}

/// A binary heap of bigrams: the one to be merged next is on top.
struct MergeQueue {
  private var heap: [Bigram] = []

  init(reserving capacity: Int) { heap.reserveCapacity(capacity) }

  mutating func push(_ bigram: Bigram) {
    var child = heap.count
    heap.append(bigram)
    while child > 0 {
      let parent = (child - 1) / 2
      guard bigram.comes(before: heap[parent]) else { break }
      heap[child] = heap[parent]
      child = parent
    }
    heap[child] = bigram
  }

  mutating func pop() -> Bigram? {
    guard let top = heap.first, let last = heap.popLast() else { return nil }
    if heap.isEmpty { return top }
    var parent = 0
    while true {
      var child = 2 * parent + 1
      if child >= heap.count { break }
      if child + 1 < heap.count, heap[child + 1].comes(before: heap[child]) { child += 1 }
      guard heap[child].comes(before: last) else { break }
      heap[parent] = heap[child]
      parent = child
    }
    heap[parent] = last
    return top
  }
}
