/// What steps cost by their number of tokens, as measured.
///
/// Steps near one another in size share a place; between places costs are interpolated, and beyond
/// them a token is taken to cost three hundredths of a step, until it is known better. What was
/// not measured for long is forgotten, so that a hiccup does not count for ever.
package struct StepCost {
  private static let sizes = [1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 40, 48, 64, 96, 128]
  private static let tokenShare = 0.03
  private static let lifetime = 500

  private struct Measured {
    var tokens: Double
    var seconds: Double
    var step: Int
  }

  private var measured: [Measured?] = Array(repeating: nil, count: Self.sizes.count)
  private var steps = 0

  package init() {}

  /// Takes note of a step.
  package mutating func record(tokens: Int, seconds: Double) {
    guard tokens > 0, seconds.isFinite, seconds > 0 else { return }
    steps += 1
    let place = Self.sizes.firstIndex { $0 >= tokens } ?? Self.sizes.count - 1
    guard let old = measured[place], steps - old.step < Self.lifetime else {
      measured[place] = Measured(tokens: Double(tokens), seconds: seconds, step: steps)
      return
    }
    // Slow steps have many reasons that say nothing of their size.
    let weight = seconds < old.seconds ? 0.3 : 0.1
    measured[place] = Measured(
      tokens: old.tokens + (Double(tokens) - old.tokens) * weight,
      seconds: old.seconds + (seconds - old.seconds) * weight, step: steps)
  }

  /// Seconds that a step of so many tokens takes; `nil` while nothing is known.
  package func seconds(tokens: Int) -> Double? {
    let wanted = Double(tokens)
    var below: Measured?
    var above: Measured?
    for case .some(let each) in measured where steps - each.step < Self.lifetime {
      if each.tokens <= wanted { below = each }
      if each.tokens >= wanted, above == nil { above = each }
    }
    switch (below, above) {
    case (let low?, let high?):
      guard high.tokens > low.tokens else { return low.seconds }
      let share = (wanted - low.tokens) / (high.tokens - low.tokens)
      return low.seconds + max(high.seconds - low.seconds, 0) * share
    case (let low?, nil):
      return low.seconds * (1 + Self.tokenShare * (wanted - low.tokens))
    case (nil, let high?):
      return high.seconds / (1 + Self.tokenShare * (high.tokens - wanted))
    case (nil, nil):
      return nil
    }
  }
}
