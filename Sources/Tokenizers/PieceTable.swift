/// Finds the token of a piece by its exact bytes.
///
/// An open-addressing hash table over one block of bytes. It takes a slice of the input as it
/// stands, so that looking up costs no allocation; and it compares bytes, where a dictionary of
/// strings would take canonically equivalent pieces (`é` as one scalar or as two) for the same.
struct PieceTable: Sendable {
  /// Bytes of the longest piece; nothing longer is looked up.
  private(set) var longest = 0
  private var storage: [UInt8] = []
  private var entries: [(id: TokenID, start: Int, length: Int)] = []
  /// Index into ``entries``, or -1; a power of two of them, at most half in use.
  private var slots: [Int32]

  /// A table of these pieces; of equal pieces the later one counts. Empty pieces are left out.
  init(_ pieces: [(id: TokenID, text: String)]) {
    var capacity = 16
    while capacity < pieces.count * 2 { capacity *= 2 }
    slots = Array(repeating: -1, count: capacity)
    entries.reserveCapacity(pieces.count)
    for (id, text) in pieces where !text.isEmpty { insert(id, Array(text.utf8)) }
  }

  /// Whether the table holds nothing.
  var isEmpty: Bool { entries.isEmpty }

  /// The token whose piece has exactly these bytes.
  func find(_ piece: Slice<UnsafeBufferPointer<UInt8>>) -> TokenID? {
    guard !piece.isEmpty, piece.count <= longest else { return nil }
    let bytes = UnsafeBufferPointer(rebasing: piece)
    let index = slots[slot(of: bytes)]
    return index < 0 ? nil : entries[Int(index)].id
  }

  private mutating func insert(_ id: TokenID, _ piece: [UInt8]) {
    let free = piece.withUnsafeBufferPointer { slot(of: $0) }
    if slots[free] >= 0 {
      entries[Int(slots[free])].id = id
      return
    }
    slots[free] = Int32(entries.count)
    entries.append((id, storage.count, piece.count))
    storage += piece
    longest = max(longest, piece.count)
  }

  /// The slot that holds these bytes, or the free one where they would go.
  private func slot(of bytes: UnsafeBufferPointer<UInt8>) -> Int {
    var hasher = Hasher()
    hasher.combine(bytes: UnsafeRawBufferPointer(bytes))
    var slot = hasher.finalize() & (slots.count - 1)
    while slots[slot] >= 0 {
      let entry = entries[Int(slots[slot])]
      if entry.length == bytes.count,
        storage[entry.start..<entry.start + entry.length].elementsEqual(bytes)
      {
        break
      }
      slot = (slot + 1) & (slots.count - 1)
    }
    return slot
  }
}
