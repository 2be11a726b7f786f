extension Automaton {
  /// The tokens that fit, and the most bytes that may be needed after one of them.
  struct WholeMask {
    var mask: TokenMask
    var mostLeft: Int
  }

  /// All tokens that fit.
  mutating func mask(_ state: Int32, _ places: Places, _ trie: TokenTrie) -> WholeMask {
    if let known = states[Int(state)].mask { return known }
    let mask = makeMask(state, places, trie, mostBytes: nil)
    keep(mask, of: state)
    return mask
  }

  /// The tokens that fit, of these with `mostBytes` only those after which so many can be enough.
  mutating func makeMask(
    _ state: Int32, _ places: Places, _ trie: TokenTrie, mostBytes: Int?
  ) -> WholeMask {
    let mark = mark
    let bytesBefore = bytes
    var words = [UInt64](repeating: 0, count: (trie.count + 63) / 64)
    var mostLeft = 0
    func add(_ tokens: Range<Int32>, mostBytes: Int = .max) {
      for place in tokens where trie.tokens[Int(place)].bytes <= mostBytes {
        let token = Int(trie.tokens[Int(place)].token)
        words[token / 64] |= 1 << UInt64(token % 64)
      }
    }
    // The states of the beginnings of the node's byte string.
    var path = [Int32](repeating: state, count: trie.depth + 1)
    for byte in fitting(state, places).bytes where trie.firstNodes[Int(byte)] > 0 {
      // Some grammars have a state of their own for every text.
      if bytes - bytesBefore > Self.mostBytes { forget(after: mark) }
      var index = Int(trie.firstNodes[Int(byte)])
      let end = Int(trie.nodes[index].end)
      while index < end {
        let node = trie.nodes[index]
        let reached = next(path[Int(node.depth) - 1], node.byte, places)
        guard reached >= 0 else {
          index = Int(node.end)
          continue
        }
        if let run = run(below: node, trie, from: reached, places),
          run.left <= mostBytes ?? run.left
        {
          mostLeft = max(mostLeft, run.left)
          add(
            node.firstToken..<trie.nodes[Int(node.end)].firstToken,
            mostBytes: Int(node.depth) + run.count)
          index = Int(node.end)
          continue
        }
        let tokens = node.firstToken..<trie.nodes[index + 1].firstToken
        let left = states[Int(reached)].leastBytes
        if !tokens.isEmpty, left <= mostBytes ?? left {
          mostLeft = max(mostLeft, left)
          add(tokens)
        }
        path[Int(node.depth)] = reached
        index += 1
      }
    }
    return WholeMask(
      mask: TokenMask(words: words, mayEnd: states[Int(state)].mayEnd), mostLeft: mostLeft)
  }

  /// How many bytes of those below a node fit, whichever they are, where that can be told.
  private mutating func run(
    below node: TokenTrie.Node, _ trie: TokenTrie, from state: Int32, _ places: Places
  ) -> (count: Int, left: Int)? {
    guard node.crowd >= 0 else { return nil }
    let crowd = trie.crowds[Int(node.crowd)]
    return run(of: crowd.bytes, most: crowd.height, from: state, places)
  }
}
