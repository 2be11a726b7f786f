import Tensors

/// The state of a beam search: which beginnings there are, what may follow them, and what was found.
///
/// A pure value, but for the order of work, which is the engine's: it computes what may follow each
/// beginning, in any order and as often as it likes, and when all are `known`, takes the `ranked`
/// continuations one by one, replaces the beginnings, and notes what has ended.
struct BeamSearch {
  /// A beginning that goes on.
  struct Beam: Hashable {
    /// The sequence that it is.
    let sequence: UInt64
    /// The sum of its tokens' log-probabilities.
    let score: Double
  }

  /// A beginning and a token that may follow it; without a token where the text ends as it is.
  struct Continuation: Hashable {
    let beam: UInt64
    let candidate: Expansion.Candidate?
    let score: Double
  }

  /// A text that has ended.
  struct Hypothesis {
    let tokens: [GeneratedToken]
    /// Text released by an end without a token.
    let trailingText: String
    let finish: FinishReason
    /// What it is ranked by.
    let score: Double
  }

  /// Width and scores.
  let options: BeamSearchOptions
  /// Hypotheses asked for.
  let outputs: Int
  /// The most tokens of one.
  let mostTokens: Int
  /// The beginnings, best first.
  private(set) var beams: [Beam] = []
  /// What was found, best first.
  private(set) var hypotheses: [Hypothesis] = []
  /// Tokens of each beginning.
  private(set) var length = 0
  private var expansions: [UInt64: Expansion] = [:]

  init(_ options: BeamSearchOptions, outputs: Int, mostTokens: Int) {
    self.options = options
    self.outputs = outputs
    self.mostTokens = mostTokens
  }

  /// Sets out from the prompt.
  mutating func begin(_ sequence: UInt64) { beams = [Beam(sequence: sequence, score: 0)] }

  /// Takes note of what may follow a beginning.
  mutating func note(_ expansion: Expansion, of sequence: UInt64) {
    expansions[sequence] = expansion
  }

  /// Whether the next token is the last one that there may be.
  var isLast: Bool { length + 1 >= mostTokens }

  /// Whether it is known what may follow each beginning.
  var isKnown: Bool { beams.allSatisfy { expansions[$0.sequence] != nil } }

  /// What may follow one of them.
  func expansion(of sequence: UInt64) -> Expansion? { expansions[sequence] }

  /// All continuations, best first; of equals those of better beginnings, then of lower ids.
  func ranked() -> [Continuation] {
    var all: [(place: Int, continuation: Continuation)] = []
    for (place, beam) in beams.enumerated() {
      guard let expansion = expansions[beam.sequence] else { continue }
      for candidate in expansion.candidates {
        all.append(
          (
            place,
            Continuation(
              beam: beam.sequence, candidate: candidate, score: beam.score + candidate.logScore)
          ))
      }
      if expansion.endsHere {
        all.append(
          (place, Continuation(beam: beam.sequence, candidate: nil, score: beam.score)))
      }
    }
    return all.sorted { one, other in
      let (a, b) = (one.continuation, other.continuation)
      guard a.score == b.score else { return a.score > b.score }
      return (one.place, a.candidate?.token ?? -1) < (other.place, b.candidate?.token ?? -1)
    }.map(\.continuation)
  }

  /// Replaces the beginnings by continuations of theirs, a token longer.
  mutating func advance(to beams: [Beam]) {
    self.beams = beams
    expansions.removeAll(keepingCapacity: true)
    length += 1
  }

  /// Takes note of a text that has ended, `sum` being its log-probability. No more than `width` are
  /// kept.
  mutating func end(
    _ tokens: [GeneratedToken], trailingText: String = "", _ finish: FinishReason, sum: Double
  ) {
    let score = score(sum: sum, tokens: tokens.count)
    let place = hypotheses.firstIndex { $0.score < score } ?? hypotheses.count
    hypotheses.insert(
      Hypothesis(tokens: tokens, trailingText: trailingText, finish: finish, score: score),
      at: place)
    if hypotheses.count > options.width { hypotheses.removeLast() }
  }

  /// Whether nothing better can be found, or enough was found where that suffices.
  var isOver: Bool {
    guard let best = beams.first else { return true }
    if options.stopsEarly { return hypotheses.count >= options.width }
    guard hypotheses.count >= outputs else { return false }
    // A sum never grows; so a beginning comes to its best score at once or as late as it can.
    let attainable = max(
      score(sum: best.score, tokens: length), score(sum: best.score, tokens: mostTokens))
    return hypotheses[outputs - 1].score >= attainable
  }

  private func score(sum: Double, tokens: Int) -> Double {
    sum / Compute.exp(Double(options.lengthPenalty) * Compute.log(Double(max(tokens, 1))))
  }
}
