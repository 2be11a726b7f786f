import Tensors

/// What steps cost by their number of tokens, as measured.
///
/// Steps near one another in size share a place; between places costs are interpolated, and beyond
/// them a token is taken to cost three hundredths of a step, until it is known better. A machine that
/// becomes slower or faster does so for all sizes: its pace is followed, by a twentieth a step at most, and the sizes
/// are compared at the same pace. What was not measured for long is forgotten.
package struct StepCost {
  private static let sizes = [1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 40, 48, 64, 96, 128]
  private static let tokenShare = 0.03
  private static let lifetime = 500
  /// How much of a difference is taken for a change of the pace, and at least of what is then left for
  /// one of the size.
  private static let paceWeight = 0.2
  private static let sizeWeight = 0.02
  /// A step that differs by more than this from what was expected had another reason, in part at least.
  private static let mostChange = 1.25
  /// So few steps of a size may have been slow ones all.
  private static let newCount = 4

  private struct Measured {
    var tokens: Double
    /// Seconds at the pace 1.
    var seconds: Double
    var count: Int
    var step: Int
  }

  private var measured: [Measured?] = Array(repeating: nil, count: Self.sizes.count)
  private var pace = 1.0
  private var steps = 0

  package init() {}

  /// Takes note of a step.
  package mutating func record(tokens: Int, seconds: Double) {
    guard tokens > 0, seconds.isFinite, seconds > 0 else { return }
    steps += 1
    let place = Self.sizes.firstIndex { $0 >= tokens } ?? Self.sizes.count - 1
    guard var old = measured[place], steps - old.step < Self.lifetime,
      let expected = self.seconds(tokens: tokens)
    else {
      measured[place] = Measured(
        tokens: Double(tokens), seconds: seconds / pace, count: 1, step: steps)
      return
    }
    old.count += 1
    old.step = steps
    let weight = max(1 / Double(old.count), Self.sizeWeight)
    let change = seconds / expected
    if old.count <= Self.newCount, change < 1 / Self.mostChange {
      // Nothing makes a step faster than it is: what little was known was wrong.
      old.seconds *= change
    } else {
      let bounded = min(max(change, 1 / Self.mostChange), Self.mostChange)
      // What few steps say of a size is no measure of the pace.
      let paceWeight = Self.paceWeight * (1 - weight)
      pace *= Self.power(bounded, paceWeight)
      old.seconds *= Self.power(bounded, (1 - paceWeight) * weight)
    }
    old.tokens += (Double(tokens) - old.tokens) * weight
    measured[place] = old
    // The sizes take over what the pace has gone up and down: neither runs away.
    if !(0.5...2).contains(pace) {
      for place in measured.indices { measured[place]?.seconds *= pace }
      pace = 1
    }
  }

  /// Takes note of a step that is no measure of any size, so that what was measured grows older.
  package mutating func pass() { steps += 1 }

  private static func power(_ base: Double, _ exponent: Double) -> Double {
    Compute.exp(exponent * Compute.log(base))
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
      guard high.tokens > low.tokens else { return low.seconds * pace }
      let share = (wanted - low.tokens) / (high.tokens - low.tokens)
      return (low.seconds + max(high.seconds - low.seconds, 0) * share) * pace
    case (let low?, nil):
      return low.seconds * (1 + Self.tokenShare * (wanted - low.tokens)) * pace
    case (nil, let high?):
      return high.seconds / (1 + Self.tokenShare * (high.tokens - wanted)) * pace
    case (nil, nil):
      return nil
    }
  }
}
