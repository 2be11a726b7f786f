/// Which pieces are marks of a conversation's form and not text, by how they are written.
///
/// Converters often type the marks of chat formats as user-defined, and a user-defined piece is
/// found in any text: whoever writes a message could then end it and begin a turn of the system. So
/// what looks like a mark counts as a control token, which only a template can ask for.
enum SpecialMarks {
  /// The marks that ``ChatTemplate`` writes, in all its families, and their relatives of the same
  /// formats.
  static let known: Set<String> = [
    "<s>", "</s>", "<bos>", "<eos>", "<pad>", "<mask>", "<EOT>",
    "[INST]", "[/INST]", "<<SYS>>", "<</SYS>>", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]",
    "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[TOOL_CALLS]", "[TOOL_RESULTS]", "[/TOOL_RESULTS]",
    "<start_of_turn>", "<end_of_turn>",
  ]

  /// Whether a piece is one of the known marks, `<|…|>`, `<｜…｜>` or `<unused…>`.
  ///
  /// Spaces around it do not count, in either of their spellings.
  static func contain(_ piece: String) -> Bool {
    let blanks: Set<Unicode.Scalar> = [" ", "\n", "\u{2581}"]
    var scalars = piece.unicodeScalars[...]
    while let first = scalars.first, blanks.contains(first) { scalars.removeFirst() }
    while let last = scalars.last, blanks.contains(last) { scalars.removeLast() }
    let mark = String(scalars)
    return known.contains(mark) || isFramed(scalars, "|") || isFramed(scalars, "\u{FF5C}")
      || mark.hasPrefix("<unused") && mark.hasSuffix(">")
  }

  /// Whether it is `<`, the bar, anything, the bar, `>`.
  private static func isFramed(_ mark: Substring.UnicodeScalarView, _ bar: Unicode.Scalar) -> Bool {
    mark.count > 4 && mark.starts(with: ["<", bar]) && mark.suffix(2).elementsEqual([bar, ">"])
  }
}
