/// How often drafted tokens were accepted lately: those after a rejected one do not count, because
/// they never had a chance.
package struct AcceptanceRate: Hashable {
  /// Rounds fade so that about the last twenty count.
  private static let memory = 0.95
  /// Steps without rounds fade so that about the last five hundred count.
  private static let patience = 0.998
  /// How many tokens of a sequence's own weigh as much as what is known of others.
  private static let priorWeight = 4.0

  private var accepted = 0.0
  private var tried = 0.0

  package init() {}

  /// Takes note of a round.
  package mutating func record(drafted: Int, accepted: Int) {
    self.accepted = self.accepted * Self.memory + Double(accepted)
    tried = tried * Self.memory + Double(min(accepted + 1, drafted))
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

/// Who drafted tokens, as far as it tells how good they are.
package enum DraftSource: Int, CaseIterable, Sendable {
  /// The draft model.
  case model
  /// The text, behind a match of few tokens, of some, or of as many as are looked at.
  case shortMatch, middleMatch, longMatch

  /// The source of what was found behind a match.
  package init(match: Int) {
    self =
      match >= PromptLookup.mostMatch
      ? .longMatch : match >= PromptLookup.mostMatch / 2 ? .middleMatch : .shortMatch
  }
}

/// Acceptance rates by who drafted.
package struct AcceptanceRates: Hashable {
  private var rates = Array(repeating: AcceptanceRate(), count: DraftSource.allCases.count)

  package init() {}

  /// Fades all.
  package mutating func fade() {
    for source in rates.indices { rates[source].fade() }
  }

  package subscript(source: DraftSource) -> AcceptanceRate {
    get { rates[source.rawValue] }
    set { rates[source.rawValue] = newValue }
  }
}
