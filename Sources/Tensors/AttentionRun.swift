import CKernels

/// Consecutive tokens of one sequence whose attention is computed together.
///
/// What a token gets does not depend on the others of its run.
package struct AttentionRun {
  /// The most tokens of a run.
  package static var maxTokens: Int { Int(MK_QUERY_TOKENS) }

  /// The sequence's cache blocks.
  package let blocks: UnsafePointer<Int32>
  /// How many tokens: 1 to `maxTokens`.
  package let tokens: Int
  /// Keys up to the first one's own; each next one has one more.
  package let length: Int

  /// Makes a run.
  package init(blocks: UnsafePointer<Int32>, tokens: Int, length: Int) {
    self.blocks = blocks
    self.tokens = tokens
    self.length = length
  }
}
