/// Whether tokens of a sequence are drafted, to be verified together, and how.
///
/// A drafted token is taken only where it is the very one that would have been chosen without it,
/// so none of this changes an output, its log-probabilities included: only how fast it comes.
public struct Speculation: Sendable, Hashable {
  /// Who drafts.
  public enum Method: String, Sendable, Hashable, CaseIterable {
    /// Nobody.
    case off
    /// The engine's draft model; nobody where it has none.
    case draft
    /// The text itself: what followed the last few tokens where they occurred before (prompt lookup).
    case lookup
    /// The text where the last few tokens occurred before, else the draft model.
    case both
  }

  /// The most tokens of a round.
  public static let maximumTokens = 16

  /// Who drafts.
  public var method: Method
  /// Tokens to draft a round, 1 to `maximumTokens`. With `nil` the engine chooses for each step as
  /// many as pay: by how often drafted tokens of this sequence were accepted, and by what steps of so
  /// many tokens have cost.
  public var tokens: Int?

  /// Makes one.
  public init(_ method: Method, tokens: Int? = nil) {
    self.method = method
    self.tokens = tokens
  }

  /// Nothing is drafted.
  public static let off = Speculation(.off)
  /// Whatever pays.
  public static let automatic = Speculation(.both)
}
