/// How often drafted tokens were accepted lately: those after a rejected one do not count, because
/// they never had a chance.
package struct AcceptanceRate: Hashable {
  /// What is not tried fades so that about the last five hundred steps count.
  private static let patience = 0.998
  /// How many tokens of its own weigh as much as what is known of others.
  private static let priorWeight = 4.0

  /// By how much tokens fade with each further one.
  private let memory: Double
  private var accepted = 0.0
  private var tried = 0.0

  /// Of about the last so many tokens.
  package init(tokens: Int) {
    memory = 1 - 1 / Double(tokens)
  }

  /// Takes note of a token.
  package mutating func record(accepted isAccepted: Bool) {
    accepted = accepted * memory + (isAccepted ? 1 : 0)
    tried = tried * memory + 1
  }

  /// Lets what is known count for less, a little at a time: it may not hold for ever.
  package mutating func fade() {
    accepted *= Self.patience
    tried *= Self.patience
  }

  /// The chance that the next token is accepted, where `prior` is what others would have.
  package func estimate(prior: Double) -> Double {
    (accepted + prior * Self.priorWeight) / (tried + Self.priorWeight)
  }
}

/// Acceptance rates by who drafted.
package struct AcceptanceRates: Hashable {
  private var rates: [AcceptanceRate]
  /// Steps so far, and the one of each source's last token.
  private var steps = 0
  private var tried = Array(repeating: 0, count: DraftSource.count)

  /// Of about the last so many tokens of each source.
  package init(tokens: Int) {
    rates = Array(repeating: AcceptanceRate(tokens: tokens), count: DraftSource.count)
  }

  /// Takes note of a token.
  package mutating func record(_ source: DraftSource, accepted: Bool) {
    rates[source.index].record(accepted: accepted)
    tried[source.index] = steps
  }

  /// Takes note of a step, after its tokens: sources without any are forgotten in time, so that they are
  /// tried again.
  package mutating func endStep() {
    for source in rates.indices where tried[source] < steps { rates[source].fade() }
    steps += 1
  }

  /// The chance of the next token of a source, where `prior` is what others would have.
  package func estimate(_ source: DraftSource, prior: Double) -> Double {
    rates[source.index].estimate(prior: prior)
  }
}

/// How often a draft model is how sure of its tokens.
package struct ConfidenceShares: Hashable {
  /// Tokens fade so that about the last five hundred count, and with as many steps without any they are
  /// forgotten.
  private static let memory = 0.998

  private var counts = Array(repeating: 1.0, count: DraftSource.models.count)

  package init() {}

  /// Takes note of a drafted token.
  package mutating func record(_ source: DraftSource) {
    guard case .model(let confidence) = source else { return }
    for each in counts.indices { counts[each] *= Self.memory }
    counts[confidence] += 1
  }

  /// Takes note of a step in which nothing was drafted.
  package mutating func fade() {
    for each in counts.indices { counts[each] = 1 + (counts[each] - 1) * Self.memory }
  }

  /// The mean over what the next token may be, of a value by its source.
  package func mean(_ value: (DraftSource) -> Double) -> Double {
    zip(DraftSource.models, counts).reduce(0) { $0 + value($1.0) * $1.1 }
      / counts.reduce(0, +)
  }
}
