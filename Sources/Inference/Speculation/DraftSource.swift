/// Who drafted a token, as far as it tells how good it is.
package enum DraftSource: Hashable, Sendable {
  /// The draft model; of so many levels of confidence, 0 is the least.
  case model(confidence: Int)
  /// The text, behind a match of few tokens, of some, or of as many as are looked at.
  case shortMatch, middleMatch, longMatch

  /// The probabilities, of the draft model's own, at which its levels of confidence begin.
  private static let levels: [Float] = [0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.7, 0.9]

  /// All sources of the draft model.
  package static let models = levels.indices.map { DraftSource.model(confidence: $0) }
  /// How many there are.
  static let count = levels.count + 3

  /// The source of what was found behind a match.
  package init(match: Int) {
    self =
      match >= PromptLookup.mostMatch
      ? .longMatch : match >= PromptLookup.mostMatch / 2 ? .middleMatch : .shortMatch
  }

  /// The source of a token that the draft model gives a probability.
  package init(probability: Float) {
    self = .model(confidence: Self.levels.lastIndex { $0 <= probability } ?? 0)
  }

  /// Its place among all.
  var index: Int {
    switch self {
    case .model(let confidence): confidence
    case .shortMatch: Self.levels.count
    case .middleMatch: Self.levels.count + 1
    case .longMatch: Self.levels.count + 2
    }
  }

  /// What one of its tokens is taken to be worth while nothing is known: what the draft model says, and
  /// of text that repeats itself a little more than half.
  package var prior: Double {
    guard case .model(let confidence) = self else { return 0.6 }
    let next = confidence + 1 < Self.levels.count ? Self.levels[confidence + 1] : 1
    return Double(Self.levels[confidence] + next) / 2
  }
}

/// A token that was drafted.
package struct DraftedToken: Hashable, Sendable {
  package var token: Int32
  package var source: DraftSource

  package init(_ token: Int32, _ source: DraftSource) {
    self.token = token
    self.source = source
  }
}
