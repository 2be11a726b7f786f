extension Automaton {
  /// The tokens that fit, and an upper bound of the bytes that are left to the end of the text behind
  /// any of them.
  struct WholeMask {
    var mask: TokenMask
    var mostLeft: Int
  }

  /// All tokens that fit.
  mutating func mask(_ state: Int32, _ places: Places, _ trie: TokenTrie) -> WholeMask {
    if let known = states[Int(state)].mask { return known }
    let mask = makeMask(state, places, trie, left: nil)
    keep(mask, of: state)
    return mask
  }

  /// The tokens that fit; where `left` is told, only those behind which so many bytes can be enough.
  mutating func makeMask(
    _ state: Int32, _ places: Places, _ trie: TokenTrie, left: Int?
  ) -> WholeMask {
    let mark = mark
    let bytesBefore = bytes
    var words = [UInt64](repeating: 0, count: (trie.count + 63) / 64)
    var mostLeft = 0
    func add(_ tokens: Range<Int32>, upTo length: Int = .max) {
      for place in tokens where trie.tokens[Int(place)].bytes <= length {
        let token = Int(trie.tokens[Int(place)].token)
        words[token / 64] |= 1 << UInt64(token % 64)
      }
    }
    // The node's byte string, and the states of its beginnings.
    var string = [UInt8](repeating: 0, count: trie.depth + 1)
    var path = [Int32](repeating: state, count: trie.depth + 1)
    for byte in fitting(state, places).bytes where trie.firstNodes[Int(byte)] > 0 {
      var index = Int(trie.firstNodes[Int(byte)])
      let end = Int(trie.nodes[index].end)
      while index < end {
        let node = trie.nodes[index]
        let depth = Int(node.depth)
        // Some grammars have a state of their own for every text.
        if bytes - bytesBefore > Self.keptBytesLimit {
          forget(after: mark)
          for before in 1..<depth { path[before] = next(path[before - 1], string[before], places) }
        }
        let reached = next(path[depth - 1], node.byte, places)
        guard reached >= 0 else {
          index = Int(node.end)
          continue
        }
        if let run = run(below: node, trie, from: reached, places), run.left <= left ?? run.left {
          mostLeft = max(mostLeft, run.left)
          add(
            node.firstToken..<trie.nodes[Int(node.end)].firstToken, upTo: depth + run.count)
          index = Int(node.end)
          continue
        }
        let tokens = node.firstToken..<trie.nodes[index + 1].firstToken
        let leftHere = states[Int(reached)].leastBytes
        if !tokens.isEmpty, leftHere <= left ?? leftHere {
          mostLeft = max(mostLeft, leftHere)
          add(tokens)
        }
        string[depth] = node.byte
        path[depth] = reached
        index += 1
      }
    }
    if bytes - bytesBefore > Self.keptBytesLimit { forget(after: mark) }
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
