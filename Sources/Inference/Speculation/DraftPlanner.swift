/// Decides how many tokens to draft for whom, so that a step brings the most tokens a second.
package enum DraftPlanner {
  /// After so many tokens in a row that did not pay, no further ones are tried.
  private static let patience = 8

  /// How many of its tokens to verify of each sequence.
  ///
  /// Tokens are added in the order of their chances. Each brings its chance of one more token of
  /// output, and costs what it adds to the step; of all these plans the one with the most output a
  /// second is taken.
  /// - Parameters:
  ///   - chances: for each sequence the chances of its tokens, one behind the other: each that it and
  ///     all before it are accepted.
  ///   - base: tokens that the step has anyway.
  ///   - output: tokens of output that it brings without these; as many as `base` unless told.
  ///   - budget: the most drafted tokens.
  ///   - spent: seconds that have gone into the step already.
  ///   - step: seconds of a step of so many tokens.
  package static func plan(
    _ chances: [[Double]], base: Int, output: Double? = nil, budget: Int, spent: Double = 0,
    step: (Int) -> Double
  ) -> [Int] {
    var counts = Array(repeating: 0, count: chances.count)
    var best = counts
    var output = output ?? Double(base)
    var rate = output / (step(base) + spent)
    var disappointments = 0
    for drafted in stride(from: 1, through: budget, by: 1) {
      let open = chances.indices.filter { counts[$0] < chances[$0].count }
      guard let next = open.max(by: { chances[$0][counts[$0]] < chances[$1][counts[$1]] })
      else { break }
      output += chances[next][counts[next]]
      counts[next] += 1
      let reached = output / (step(base + drafted) + spent)
      if reached > rate {
        (rate, best, disappointments) = (reached, counts, 0)
      } else {
        disappointments += 1
        if disappointments == patience { break }
      }
    }
    return best
  }

  /// What it takes that a draft model's passes pay.
  package struct Worth {
    /// The least chance at which a token pays that is to be verified.
    package var leastChance: Double
    /// What a token of a pass costs, in tokens of output.
    package var passCost: Double

    package init(leastChance: Double, passCost: Double) {
      self.leastChance = leastChance
      self.passCost = passCost
    }

    /// Of steps that have so many tokens anyway, for so many sequences that draft, one token each.
    package init(base: Int, drafting: Int, step: (Int) -> Double, pass: (Int) -> Double) {
      let seconds = step(base)
      let rate = Double(base) / max(seconds, .leastNormalMagnitude)
      let each = Double(max(drafting, 1))
      leastChance = rate * max(step(base + drafting) - seconds, 0) / each
      passCost = rate * pass(drafting) / each
    }

    /// Whether one more token of the model pays behind tokens that are all accepted with a chance of
    /// `chance`: what it may be worth, as it may turn out that it is not worth verifying.
    package func allows(
      behind chance: Double, shares: ConfidenceShares, acceptance: (DraftSource) -> Double
    ) -> Bool {
      shares.mean { max(chance * acceptance($0) - leastChance, 0) } > passCost
    }
  }
}
