/// The largest of a row of logits.
package enum TopSelection {
  /// A token and its logit.
  package struct Candidate: Hashable {
    package var token: Int32
    package var logit: Float

    package init(token: Int32, logit: Float) {
      self.token = token
      self.logit = logit
    }

    /// Larger logits come first, then lower ids: a total order, as long as no logit is a NaN.
    static func precedes(_ a: Candidate, _ b: Candidate) -> Bool {
      a.logit != b.logit ? a.logit > b.logit : a.token < b.token
    }
  }

  /// The `count` largest in order.
  ///
  /// One pass that keeps up to twice as many as wanted and drops the lesser half whenever they are
  /// full: O(n + n/count * count log count) at worst, near O(n) in practice.
  package static func largest(
    _ count: Int, of logits: UnsafeBufferPointer<Float>
  ) -> [Candidate] {
    let wanted = min(count, logits.count)
    guard wanted > 0 else { return [] }
    var kept: [Candidate] = []
    kept.reserveCapacity(min(2 * wanted, logits.count))
    var floor = -Float.infinity
    for (token, logit) in logits.enumerated() where logit >= floor {
      // Of equals the earlier wins, so one that only equals a full floor is not wanted.
      if logit == floor, floor > -Float.infinity { continue }
      kept.append(Candidate(token: Int32(token), logit: logit))
      if kept.count == 2 * wanted {
        kept.sort(by: Candidate.precedes)
        kept.removeLast(wanted)
        floor = kept[wanted - 1].logit
      }
    }
    kept.sort(by: Candidate.precedes)
    return Array(kept.prefix(wanted))
  }
}
