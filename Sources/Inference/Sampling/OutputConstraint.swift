import Grammars
import Synchronization

/// What the text of an output must be.
public enum OutputConstraint: Sendable, Hashable {
  /// A JSON document that is valid under this schema.
  case jsonSchema(String)
  /// A text of this grammar, in the notation of llama.cpp (GBNF).
  case grammar(String)

  /// Its name in requests.
  public var field: String {
    switch self {
    case .jsonSchema: "json_schema"
    case .grammar: "grammar"
    }
  }

  /// Whether it is written with the same bytes: equal strings may be different ones.
  func isSame(as other: OutputConstraint) -> Bool {
    switch (self, other) {
    case (.jsonSchema(let one), .jsonSchema(let two)), (.grammar(let one), .grammar(let two)):
      one.utf8.elementsEqual(two.utf8)
    default: false
    }
  }

  /// Compiles it for a vocabulary; throws `requestInvalid` where it cannot be used, or where its
  /// shortest text need not fit into `room` tokens.
  func compiled(_ tokens: TokenTrie, room: Int) throws(InferenceError) -> Grammar {
    do {
      let grammar: Grammar
      switch self {
      case .jsonSchema(let schema): grammar = try Grammar(jsonSchema: schema, tokens: tokens)
      case .grammar(let text): grammar = try Grammar(text: text, tokens: tokens)
      }
      try check(grammar, room: room)
      return grammar
    } catch {
      throw InferenceError(
        code: .requestInvalid, message: "\(field) cannot be used: \(error.message).",
        context: ["field": field])
    }
  }

  fileprivate func check(_ grammar: Grammar, room: Int) throws(GrammarError) {
    guard grammar.leastBytes > room else { return }
    throw GrammarError(
      "its shortest text has \(grammar.leastBytes) bytes, for which \(room) tokens may not be "
        + "enough; allow more")
  }
}

/// The constraints compiled lately for a model's vocabulary, so that many outputs under one share what
/// is learned of it. Can be used from many threads at once.
final class ConstraintCache: Sendable {
  private static let most = 32
  private let grammars = Mutex<[(constraint: OutputConstraint, grammar: Grammar)]>([])

  /// The grammar of a constraint; throws as its `compiled` does.
  func grammar(
    _ constraint: OutputConstraint, _ tokens: TokenTrie, room: Int
  ) throws(InferenceError) -> Grammar {
    if let known = find(constraint), known.leastBytes <= room { return known }
    // Not under the lock: it takes moments. Two threads may do it both.
    let grammar = try constraint.compiled(tokens, room: room)
    grammars.withLock { grammars in
      grammars.removeAll { $0.constraint.isSame(as: constraint) }
      grammars.append((constraint, grammar))
      if grammars.count > Self.most { grammars.removeFirst() }
    }
    return grammar
  }

  /// Finds one that is known; it is then the last to go.
  private func find(_ constraint: OutputConstraint) -> Grammar? {
    grammars.withLock { grammars in
      guard let place = grammars.firstIndex(where: { $0.constraint.isSame(as: constraint) }) else {
        return nil
      }
      let known = grammars.remove(at: place)
      grammars.append(known)
      return known.grammar
    }
  }
}

extension LanguageModel {
  /// The grammar of what a text must be; throws `requestInvalid` where it cannot be used, or where its
  /// shortest text need not fit into `room` tokens.
  func grammar(_ constraint: OutputConstraint, room: Int) throws(InferenceError) -> Grammar {
    try constraints.grammar(constraint, tokenTrie, room: room)
  }
}

extension SamplingOptions {
  /// Checks everything that only a model's vocabulary can tell; throws `requestInvalid` with the
  /// field's name. A constraint that was not used lately is compiled, which takes moments.
  public func check(for model: LanguageModel) throws(InferenceError) {
    try validate(vocabularySize: model.vocabularySize)
    if let constraint { _ = try model.grammar(constraint, room: maxTokens) }
  }
}
