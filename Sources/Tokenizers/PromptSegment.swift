/// A part of a prompt: text of a template, or text from outside.
public struct PromptSegment: Sendable, Hashable {
  /// The text.
  public let text: String
  /// Whether the text of a control token in it becomes that token: true for templates only.
  public let parsesSpecialTokens: Bool

  /// Makes a part of a prompt.
  public init(_ text: String, parsesSpecialTokens: Bool) {
    self.text = text
    self.parsesSpecialTokens = parsesSpecialTokens
  }
}
