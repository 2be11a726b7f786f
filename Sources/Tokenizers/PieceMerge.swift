/// The merging of one text: characters at first, joined until no two neighbours are a piece.
struct PieceMerge {
  /// A run of bytes in a doubly linked list; of no length once it was joined to its left neighbour.
  private struct Symbol {
    let start: Int
    var length: Int
    var previous: Int
    var next: Int
  }

  private let text: UnsafeBufferPointer<UInt8>
  private let table: PieceTable
  private let scores: [Float]
  private var list: [Symbol] = []
  private var queue: MergeQueue

  /// Cuts valid UTF-8 into characters; `text` must outlive this value.
  init(_ text: UnsafeBufferPointer<UInt8>, _ table: PieceTable, _ scores: [Float]) {
    self.text = text
    self.table = table
    self.scores = scores
    list.reserveCapacity(text.count)
    var start = 0
    while start < text.count {
      let length = min(Self.characterLength(text[start]), text.count - start)
      list.append(
        Symbol(start: start, length: length, previous: list.count - 1, next: list.count + 1))
      start += length
    }
    queue = MergeQueue(reserving: list.count)
  }

  /// Joins neighbours, the best first, until none can be.
  mutating func run() {
    for right in list.indices.dropFirst() { propose(right - 1, right) }
    while let bigram = queue.pop() {
      let left = list[bigram.left]
      let right = list[bigram.right]
      // A side that was joined to something else since has another length now.
      guard left.length > 0, right.length > 0, left.length + right.length == bigram.length else {
        continue
      }
      list[bigram.left].length = bigram.length
      list[bigram.left].next = right.next
      list[bigram.right].length = 0
      if right.next < list.count { list[right.next].previous = bigram.left }
      propose(left.previous, bigram.left)
      propose(bigram.left, right.next)
    }
  }

  /// The symbols from left to right, as ranges of bytes.
  func symbols() -> [Range<Int>] {
    list.filter { $0.length > 0 }.map { $0.start..<$0.start + $0.length }
  }

  private mutating func propose(_ left: Int, _ right: Int) {
    guard left >= 0, right < list.count else { return }
    let start = list[left].start
    let length = list[left].length + list[right].length
    guard let token = table.find(text[start..<start + length]) else { return }
    queue.push(Bigram(score: scores[Int(token)], left: left, right: right, length: length))
  }

  /// Bytes of the UTF-8 sequence that this byte leads.
  private static func characterLength(_ lead: UInt8) -> Int {
    switch lead {
    case ..<0xC0: 1
    case ..<0xE0: 2
    case ..<0xF0: 3
    default: 4
    }
  }
}
