/// The byte strings of a vocabulary's tokens as a tree, so that tokens with the same beginning are
/// tried together.
public struct TokenTrie: Sendable {
  struct Node: Sendable {
    /// Nodes one byte further, by that byte in order: a range of `edges`.
    var first: Int32 = 0
    var count: Int32 = 0
    /// Tokens that end here: a range of `ends`.
    var firstToken: Int32 = 0
    var tokens: Int32 = 0
  }

  private(set) var nodes: [Node] = []
  private(set) var edges: [(byte: UInt8, node: Int32)] = []
  private(set) var ends: [Int32] = []
  /// Tokens of the vocabulary.
  public let count: Int

  /// Tokens of more bytes are left out, and so never chosen under a grammar.
  private static let mostBytes = 256

  /// Makes the tree from each token's bytes; tokens without bytes are in none of its nodes.
  public init(_ bytes: [[UInt8]]) {
    count = bytes.count
    let order = bytes.indices.filter { (1...Self.mostBytes).contains(bytes[$0].count) }
      .sorted { bytes[$0].lexicographicallyPrecedes(bytes[$1]) }
    build(bytes, order[...], depth: 0)
  }

  @discardableResult
  private mutating func build(
    _ bytes: [[UInt8]], _ order: ArraySlice<Int>, depth: Int
  ) -> Int32 {
    let index = nodes.count
    nodes.append(Node())
    // The order puts those that end here first.
    let whole = order.prefix { bytes[$0].count == depth }
    nodes[index].firstToken = Int32(ends.count)
    nodes[index].tokens = Int32(whole.count)
    ends += whole.map(Int32.init)
    var groups: [(byte: UInt8, slice: ArraySlice<Int>)] = []
    var rest = order.dropFirst(whole.count)
    while let first = rest.first {
      let byte = bytes[first][depth]
      let group = rest.prefix { bytes[$0][depth] == byte }
      groups.append((byte, group))
      rest = rest.dropFirst(group.count)
    }
    nodes[index].first = Int32(edges.count)
    nodes[index].count = Int32(groups.count)
    let firstEdge = edges.count
    edges += groups.map { ($0.byte, 0) }
    for (offset, group) in groups.enumerated() {
      let child = build(bytes, group.slice, depth: depth + 1)
      edges[firstEdge + offset].node = child
    }
    return Int32(index)
  }
}
