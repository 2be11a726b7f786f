/// What a rule of a grammar stands for: a set of byte strings.
indirect enum GrammarExpression: Hashable, Sendable {
  /// These bytes.
  case literal([UInt8])
  /// One character out of these ranges of Unicode code points, in UTF-8.
  case characters([ClosedRange<UInt32>])
  /// What another rule stands for.
  case rule(Int)
  /// One after the other; nothing where there are none.
  case sequence([GrammarExpression])
  /// Any of them.
  case choice([GrammarExpression])
  /// As many times in a row as it says; without a maximum, any number.
  case repeated(GrammarExpression, least: Int, most: Int?)

  /// Nothing at all.
  static let empty = GrammarExpression.sequence([])

  static func text(_ text: String) -> GrammarExpression { .literal(Array(text.utf8)) }

  static func optional(_ expression: GrammarExpression) -> GrammarExpression {
    .repeated(expression, least: 0, most: 1)
  }
}

/// A grammar: rules, and which one a text is to be.
struct GrammarRules: Hashable, Sendable {
  /// The names of the rules, for messages.
  var names: [String]
  /// What each stands for.
  var rules: [GrammarExpression]
  /// The rule for the whole text.
  var root: Int
}

/// Bounds on what is compiled, so that no grammar takes more than moments and megabytes.
public enum GrammarLimits {
  /// Bytes of a grammar or a schema.
  public static let sourceBytes = 65_536
  /// How deep parentheses, and schemas in schemas, may nest.
  public static let depth = 64
  /// How often something can be repeated at most where there is a number.
  public static let repetitions = 1_000
  /// Places of the automaton that comes out.
  public static let places = 100_000
  /// At how many places of the automaton a text can be at once, with what calls the rules there. What
  /// would lead to more does not fit.
  public static let placesAtOnce = 8_192
}
