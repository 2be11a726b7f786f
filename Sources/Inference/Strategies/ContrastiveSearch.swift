/// The state of a contrastive search: the final hidden states of all tokens so far, and the tokens
/// among which the next one is chosen, each tried as a sequence of its own.
struct ContrastiveSearch {
  /// A token that may come next.
  struct Branch {
    /// The sequence in which it is tried.
    let sequence: UInt64
    /// Its probability.
    let probability: Double
    /// Why the output ends with it, if it does.
    let finish: FinishReason?
    /// Its final hidden state, of length 1; nil until it is computed.
    var state: [Float]?
    /// What may follow it; nil until it is computed.
    var expansion: Expansion?
  }

  /// How many tokens, and what counts.
  let options: ContrastiveSearchOptions
  /// The final hidden states of all tokens that are settled, each of length 1.
  private(set) var context: [[Float]] = []
  /// The tokens to choose from, likeliest first; none while the prompt is computed.
  var branches: [Branch] = []

  init(_ options: ContrastiveSearchOptions) { self.options = options }

  /// Takes note of the hidden state of the token at a position, of the sequence that computed it.
  mutating func note(_ state: [Float], position: Int, of sequence: UInt64) {
    if position == context.count, branches.isEmpty {
      context.append(state)
    } else if position == context.count,
      let place = branches.firstIndex(where: { $0.sequence == sequence })
    {
      branches[place].state = state
    }
    // Those before are computed again where a sequence had to give way, to the same.
  }

  /// Takes note of what may follow a token.
  mutating func note(_ expansion: Expansion, of sequence: UInt64) {
    guard let place = branches.firstIndex(where: { $0.sequence == sequence }) else { return }
    branches[place].expansion = expansion
  }

  /// Whether all tokens were tried.
  var isKnown: Bool {
    !branches.isEmpty && branches.allSatisfy { $0.state != nil && $0.expansion != nil }
  }

  /// Settles on the best token, the likeliest of equals; returns its place.
  mutating func choose() -> Int {
    var best = 0
    var bestScore = -Double.infinity
    for (place, branch) in branches.enumerated() {
      let similarity = context.reduce(-Double.infinity) { largest, state in
        max(largest, Self.dot(state, branch.state ?? []))
      }
      let score =
        (1 - Double(options.alpha)) * branch.probability - Double(options.alpha) * similarity
      if score > bestScore { (best, bestScore) = (place, score) }
    }
    context.append(branches[best].state ?? [])
    branches = []
    return best
  }

  /// Brings a vector to length 1.
  static func normalized(_ vector: UnsafeBufferPointer<Float>) -> [Float] {
    let length = dot(vector, vector).squareRoot()
    guard length > 0 else { return Array(vector) }
    return vector.map { Float(Double($0) / length) }
  }

  private static func dot(_ one: [Float], _ other: [Float]) -> Double {
    one.withUnsafeBufferPointer { one in
      other.withUnsafeBufferPointer { other in dot(one, other) }
    }
  }

  /// The same on every machine: sixteen sums of every sixteenth product, added in order.
  private static func dot(
    _ one: UnsafeBufferPointer<Float>, _ other: UnsafeBufferPointer<Float>
  ) -> Double {
    let count = min(one.count, other.count)
    var sums = SIMD16<Float>()
    var place = 0
    if let a = one.baseAddress, let b = other.baseAddress {
      while place + 16 <= count {
        let left = UnsafeRawPointer(a + place).loadUnaligned(as: SIMD16<Float>.self)
        let right = UnsafeRawPointer(b + place).loadUnaligned(as: SIMD16<Float>.self)
        sums += left * right
        place += 16
      }
    }
    var total = 0.0
    for lane in 0..<16 { total += Double(sums[lane]) }
    while place < count {
      total += Double(one[place]) * Double(other[place])
      place += 1
    }
    return total
  }
}
