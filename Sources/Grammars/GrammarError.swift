/// Why a grammar or a schema cannot be used.
public struct GrammarError: Error, Hashable, Sendable, CustomStringConvertible {
  /// What is wrong, and where.
  public let message: String

  public init(_ message: String) { self.message = message }

  public var description: String { message }
}
