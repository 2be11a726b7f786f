/// Decides how many tokens to draft for whom, so that a step brings the most tokens a second.
package enum DraftPlanner {
  /// A sequence that could draft.
  package struct Candidate: Hashable {
    /// The chance that a drafted token is accepted, if those before it were.
    package var acceptance: Double
    /// The most tokens to draft.
    package var limit: Int
    /// Whether the draft model has to be run for them.
    package var usesModel: Bool

    package init(acceptance: Double, limit: Int, usesModel: Bool) {
      self.acceptance = acceptance
      self.limit = limit
      self.usesModel = usesModel
    }
  }

  /// Drafted tokens less likely to be accepted than this are not worth a thought.
  private static let leastChance = 0.05
  /// After so many tokens in a row that did not pay, no further ones are tried.
  private static let patience = 8

  /// Tokens to draft for each candidate.
  ///
  /// Tokens are added in the order of their chances. Each brings its chance of one more token of
  /// output, and costs what it adds to the step, and to the passes of the draft model; of all these
  /// plans the one with the most output a second is taken.
  /// - Parameters:
  ///   - base: tokens that the step has anyway, each with a token of output.
  ///   - budget: the most drafted tokens.
  ///   - step: seconds of a step of so many tokens.
  ///   - pass: seconds of a pass of the draft model over so many sequences.
  package static func plan(
    _ candidates: [Candidate], base: Int, budget: Int, step: (Int) -> Double,
    pass: (Int) -> Double
  ) -> [Int] {
    var counts = Array(repeating: 0, count: candidates.count)
    var best = counts
    var chances = candidates.map(\.acceptance)
    // Sequences in each pass of the draft model, and what the passes take together.
    var passes: [Int] = []
    var draftSeconds = 0.0
    var output = Double(base)
    var rate = output / step(base)
    var disappointments = 0
    for drafted in stride(from: 1, through: budget, by: 1) {
      let open = candidates.indices.filter { counts[$0] < candidates[$0].limit }
      guard let next = open.max(by: { chances[$0] < chances[$1] }),
        chances[next] >= leastChance
      else { break }
      if candidates[next].usesModel {
        let round = counts[next]
        if round == passes.count { passes.append(0) }
        draftSeconds += pass(passes[round] + 1) - (passes[round] > 0 ? pass(passes[round]) : 0)
        passes[round] += 1
      }
      counts[next] += 1
      output += chances[next]
      chances[next] *= candidates[next].acceptance
      let reached = output / (step(base + drafted) + draftSeconds)
      if reached > rate {
        (rate, best, disappointments) = (reached, counts, 0)
      } else {
        disappointments += 1
        if disappointments == patience { break }
      }
    }
    return best
  }
}
