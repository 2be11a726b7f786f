/// The tokens of a sequence as penalties see them: which occurred, and how often in the output.
package struct TokenHistory {
  /// How often each token occurs in the output.
  private(set) var outputCounts: [Int32: Int] = [:]
  /// Tokens that occur in prompt or output.
  private(set) var seen: Set<Int32>

  /// Starts with a prompt.
  package init(prompt: [Int32]) {
    seen = Set(prompt)
  }

  /// Adds a token of output.
  package mutating func append(_ token: Int32) {
    outputCounts[token, default: 0] += 1
    seen.insert(token)
  }
}
