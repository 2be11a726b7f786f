import Tensors

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
  /// Tokens whose states are known and that are settled.
  private(set) var count = 0
  /// The tokens to choose from, likeliest first; none while the prompt is computed.
  var branches: [Branch] = []
  /// The final hidden states of all settled tokens, each of length 1: [token][width].
  private let states: AlignedBuffer<Float>
  private let width: Int

  /// Reserves memory for the states of `tokens` tokens; throws `outOfMemory`.
  init(_ options: ContrastiveSearchOptions, tokens: Int, width: Int) throws(InferenceError) {
    self.options = options
    self.width = width
    do {
      states = try AlignedBuffer(count: tokens * width, zeroed: false)
    } catch {
      throw InferenceError(error)
    }
  }

  /// Takes note of the hidden state of the token at a position, of the sequence that computed it.
  mutating func note(_ state: [Float], position: Int, of sequence: UInt64) {
    // Those before are computed again where a sequence had to give way, to the same.
    guard position == count else { return }
    if branches.isEmpty {
      keep(state)
    } else if let place = branches.firstIndex(where: { $0.sequence == sequence }) {
      branches[place].state = state
    }
  }

  private mutating func keep(_ state: [Float]) {
    state.withUnsafeBufferPointer { state in
      guard let from = state.baseAddress else { return }
      (states.base + count * width).update(from: from, count: width)
    }
    count += 1
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

  /// The largest cosine between a token's state and that of any before it.
  func similarity(of branch: Branch) -> Double {
    (branch.state ?? []).withUnsafeBufferPointer { state in
      (0..<count).reduce(-Double.infinity) { largest, token in
        let other = UnsafeBufferPointer(start: states.base + token * width, count: width)
        return max(largest, Self.dot(other, state))
      }
    }
  }

  /// The place of the best token, by the tokens' similarities; of equals the likeliest.
  func best(_ similarities: [Double]) -> Int {
    var best = 0
    var bestScore = -Double.infinity
    for (place, branch) in branches.enumerated() {
      let score =
        (1 - Double(options.alpha)) * branch.probability
        - Double(options.alpha) * similarities[place]
      if score > bestScore { (best, bestScore) = (place, score) }
    }
    return best
  }

  /// Settles on a token.
  mutating func settle(_ place: Int) {
    keep(branches[place].state ?? [])
    branches = []
  }

  /// Brings a vector to length 1.
  static func normalized(_ vector: UnsafeBufferPointer<Float>) -> [Float] {
    let length = dot(vector, vector).squareRoot()
    guard length > 0 else { return Array(vector) }
    return vector.map { Float(Double($0) / length) }
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
