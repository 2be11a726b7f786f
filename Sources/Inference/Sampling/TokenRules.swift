package import Grammars

/// Which tokens may be chosen.
package struct TokenRules {
  /// These not.
  package var forbidden: Set<Int32> = []
  /// Only these, where there is a mask, and where it lets the text end, `ends`.
  package var mask: TokenMask?
  package var ends: Set<Int32> = []

  package init(forbidden: Set<Int32> = [], mask: TokenMask? = nil, ends: Set<Int32> = []) {
    self.forbidden = forbidden
    self.mask = mask
    self.ends = ends
  }

  /// Whether all may be.
  var isOpen: Bool { forbidden.isEmpty && mask == nil }

  /// The logit of a token that is not to be chosen: so far below all others that its probability
  /// is 0, and finite.
  private static let never: Float = -1e30

  /// Takes the logits of all others away.
  func apply(_ row: UnsafeMutablePointer<Float>, vocabulary: Int) {
    if let mask {
      let kept = mask.mayEnd ? ends.map { ($0, row[Int($0)]) } : []
      for (index, word) in mask.words.enumerated() where word != ~0 {
        for token in index * 64..<min(index * 64 + 64, vocabulary)
        where word >> UInt64(token % 64) & 1 == 0 {
          row[token] = Self.never
        }
      }
      for (token, logit) in kept { row[Int(token)] = logit }
    }
    for token in forbidden { row[Int(token)] = Self.never }
  }

  /// Whether a token may be chosen.
  func allows(_ token: Int32) -> Bool {
    guard !forbidden.contains(token) else { return false }
    guard let mask else { return true }
    return mask.contains(token) || mask.mayEnd && ends.contains(token)
  }
}
