extension LanguageModel {
  /// The revision of everything that turns a model file, a prompt, options and a seed into output.
  ///
  /// Raise it with every change of a bit of the logits, of the tokens of a prompt, or of the order
  /// in which tokens are drawn: an output that an earlier revision began is then not continued by
  /// this one, which would put two different texts together. Speed and memory do not count.
  public static let numericsRevision = 2
}
