/// The byte strings of a vocabulary's tokens as a tree, so that tokens with the same beginning are
/// tried together.
public struct TokenTrie: Sendable {
  /// A beginning of tokens. Nodes come in the order of their byte strings, so that those below one
  /// follow it, and so do their tokens.
  struct Node: Sendable {
    /// Its last byte.
    var byte: UInt8
    /// How many bytes it has.
    var depth: UInt16
    /// The first node that is not below it.
    var end: Int32 = 0
    /// Where its tokens, and those below it, begin in `tokens`.
    var firstToken: Int32
    /// Its number in `crowds`, where many nodes are below it.
    var crowd: Int32 = -1
  }

  /// All that is below a node.
  struct Crowd: Sendable {
    var bytes = ByteSet()
    /// The most bytes that a token has more than the node.
    var height = 0

    /// Adds a byte and all that is below that.
    mutating func take(_ byte: UInt8, _ below: Crowd) {
      bytes.insert(byte...byte)
      bytes.formUnion(below.bytes)
      height = max(height, 1 + below.height)
    }
  }

  /// The tree's nodes, the root first, and behind them one that only ends the last.
  private(set) var nodes: [Node] = []
  private(set) var crowds: [Crowd] = []
  /// For each byte the node of one byte, or 0.
  private(set) var firstNodes = [Int32](repeating: 0, count: 256)
  /// Tokens in the order of their byte strings, with their numbers of bytes.
  private(set) var tokens: [(token: Int32, bytes: Int32)] = []
  /// The most bytes of a token.
  private(set) var depth = 0
  /// Tokens of the vocabulary.
  public let count: Int

  /// Tokens of more bytes are left out, and so never chosen under a grammar.
  private static let longestToken = 256
  /// So many nodes below one are looked at all at once.
  private static let crowdNodes = 8

  /// Makes the tree from each token's bytes; tokens without bytes are in none of its nodes.
  public init(_ bytes: [[UInt8]]) {
    count = bytes.count
    let order = bytes.indices.filter { (1...Self.longestToken).contains(bytes[$0].count) }
      .sorted { bytes[$0].lexicographicallyPrecedes(bytes[$1]) }
    // The nodes from the root to the last one, which others may still come below, with what does.
    var path: [(node: Int, below: Crowd)] = []
    func end(below depth: Int) {
      while path.count > depth {
        let (node, below) = path.removeLast()
        nodes[node].end = Int32(nodes.count)
        if nodes.count - node > Self.crowdNodes {
          nodes[node].crowd = Int32(crowds.count)
          crowds.append(below)
        }
        if !path.isEmpty { path[path.count - 1].below.take(nodes[node].byte, below) }
      }
    }
    func add(_ byte: UInt8) {
      if path.count == 1 { firstNodes[Int(byte)] = Int32(nodes.count) }
      path.append((nodes.count, Crowd()))
      nodes.append(
        Node(byte: byte, depth: UInt16(path.count - 1), firstToken: Int32(tokens.count)))
    }
    add(0)
    var before: ArraySlice<UInt8> = []
    for token in order {
      let common = zip(before, bytes[token]).prefix { $0 == $1 }.count
      end(below: common + 1)
      for byte in bytes[token].dropFirst(common) { add(byte) }
      tokens.append((Int32(token), Int32(bytes[token].count)))
      depth = max(depth, bytes[token].count)
      before = bytes[token][...]
    }
    end(below: 0)
    add(0)
  }
}
