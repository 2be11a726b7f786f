import Grammars
import Tensors

/// The tokens that may come next in a search, best first.
package struct Expansion: Hashable {
  /// One of them.
  package struct Candidate: Hashable {
    package var token: Int32
    /// The natural logarithm of its probability, as the search sees it.
    package var logScore: Double
    /// The same under the unmodified logits, if asked for.
    package var logprob: Float?
  }

  /// The best ones, in order.
  package var candidates: [Candidate]
  /// The most likely tokens under the unmodified logits, if asked for.
  package var topLogprobs: [TokenLogprob]
  /// Whether no token may come and the text may end as it is.
  package var endsHere = false
}

extension TokenSampler {
  /// The `count` best tokens of a row of logits after bias, penalties and rules, of equals those with
  /// lower ids; nil where a logit is not finite.
  ///
  /// - Parameter isRenormalized: whether probabilities are those among the tokens that the rules
  ///   allow, and not among all.
  package func expand(
    logits: UnsafePointer<Float>, count: Int, isRenormalized: Bool, options: SamplingOptions,
    history: TokenHistory, rules: TokenRules, scratch: UnsafeMutablePointer<Float>
  ) -> Expansion? {
    guard let likeliest = compute.argmax(logits, count: vocabulary) else { return nil }
    scratch.update(from: logits, count: vocabulary)
    adjust(scratch, options, history)
    if isRenormalized { rules.apply(scratch, vocabulary: vocabulary) }
    guard let best = compute.argmax(scratch, count: vocabulary) else { return nil }
    let shift = scratch[best]
    let logSum = Compute.log(compute.sumExp(scratch, count: vocabulary, shift: shift))
    if !isRenormalized { rules.apply(scratch, vocabulary: vocabulary) }
    let unmodified = logprobs(logits, likeliest: likeliest, options)
    let candidates = TopSelection.largest(
      count, of: UnsafeBufferPointer(start: scratch, count: vocabulary)
    ).filter { rules.allows($0.token) }.map { candidate in
      Expansion.Candidate(
        token: candidate.token,
        logScore: Double(candidate.logit) - Double(shift) - logSum,
        logprob: unmodified?.logprob(candidate.token))
    }
    return Expansion(
      candidates: candidates, topLogprobs: unmodified?.top ?? [],
      endsHere: candidates.isEmpty && (rules.mask?.mayEnd ?? false))
  }
}
