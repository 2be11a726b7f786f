/// Drafts from the text itself: what came after the last few tokens when they occurred before.
///
/// Source: prompt lookup decoding (Saxena, 2023); n-gram speculation in vLLM.
package enum PromptLookup {
  /// The fewest last tokens that must have occurred before.
  package static let leastMatch = 2
  /// Longer matches than this are as good as this.
  package static let mostMatch = 8

  /// What was found.
  package struct Found {
    /// The tokens that followed.
    package var tokens: [Int32]
    /// How many last tokens are the same before them, at most `mostMatch`; 0 where none were found.
    package var match: Int
  }

  /// Up to `count` tokens that followed the longest match of the end of `tokens`; of equally long
  /// ones the latest, unless an earlier one has more to give. Empty where there is none.
  package static func draft(_ tokens: [Int32], count: Int) -> Found {
    tokens.withUnsafeBufferPointer { text in
      var best = (match: leastMatch - 1, end: text.count)
      let last = text.count - 1
      guard count > 0, last >= leastMatch else {
        return Found(tokens: [], match: 0)
      }
      var end = last - 1
      while end >= leastMatch - 1 {
        if text[end] == text[last] {
          var match = 1
          while match < mostMatch, match <= end, text[end - match] == text[last - match] {
            match += 1
          }
          let given = min(count, last - end)
          if match > best.match
            || (match >= leastMatch && match == best.match && given > min(count, last - best.end))
          {
            best = (match, end)
          }
          if best.match == mostMatch, min(count, last - best.end) == count { break }
        }
        end -= 1
      }
      guard best.match >= leastMatch else {
        return Found(tokens: [], match: 0)
      }
      let first = best.end + 1
      return Found(
        tokens: Array(text[first..<min(first + count, text.count)]), match: best.match)
    }
  }
}
