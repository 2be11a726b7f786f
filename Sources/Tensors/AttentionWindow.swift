import CKernels

/// Which of the tokens before it a token sees: the last ones, and the very first.
///
/// A text grows in a cache of a fixed size. Without the first few tokens, which collect what attention
/// has left over, it soon falls apart. Positions stay those in the text, so that it ends where the
/// model's context does.
/// Sources: Longformer (Beltagy et al., 2020) for the window, StreamingLLM (Xiao et al., 2023) for the
/// first tokens, the attention sinks.
public struct AttentionWindow: Sendable, Hashable {
  /// The most of the first tokens.
  public static var maximumSinks: Int { Int(MK_KEY_STEP) }
  /// The most of the last tokens.
  public static let maximumTokens = 1 << 24

  /// How many of the last tokens are seen, the own one included; at least 1.
  public var tokens: Int
  /// How many of the first tokens are seen besides.
  public var sinks: Int

  /// Makes one; `nil` for numbers out of range.
  public init?(tokens: Int, sinks: Int = 0) {
    guard (1...Self.maximumTokens).contains(tokens), (0...Self.maximumSinks).contains(sinks) else {
      return nil
    }
    self.tokens = tokens
    self.sinks = sinks
  }

  /// Tokens that attention takes at a time.
  private static var step: Int { Int(MK_KEY_STEP) }

  /// The first of the last tokens that has to be there for a token at a position and all behind it:
  /// attention walks whole steps.
  package func firstRead(at position: Int) -> Int {
    max(position + 1 - tokens, 0) / Self.step * Self.step
  }

  /// The first of the last tokens to keep where so many are computed, in blocks of a size: as if it were
  /// a step or a block fewer, for a draft model that is a little behind.
  package func firstKept(computed: Int, blockTokens: Int) -> Int {
    firstRead(at: max(computed - max(Self.step, blockTokens), 0))
  }

  /// The most tokens that are kept while `count` more are computed, without the sinks.
  package func mostKept(computing count: Int, blockTokens: Int) -> Int {
    tokens + Self.step + max(Self.step, blockTokens) + count
  }
}
