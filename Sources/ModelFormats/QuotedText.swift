/// Text of a file in quotes, for a message: at most 80 scalars, and none that steers a terminal.
package func quoted(_ text: String) -> String {
  "'\(printable(text, limit: 80))'"
}

/// At most `limit` scalars of a text from outside, with U+FFFD in place of what a terminal obeys
/// instead of showing it: control characters (C0 and C1, which begin its commands), separators of
/// lines and paragraphs, and marks that turn the direction of writing.
package func printable(_ text: String, limit: Int) -> String {
  var shown = String.UnicodeScalarView()
  for scalar in text.unicodeScalars.prefix(limit) {
    shown.append(steersTerminal(scalar) ? "\u{FFFD}" : scalar)
  }
  if !text.unicodeScalars.dropFirst(limit).isEmpty { shown.append("\u{2026}") }
  return String(shown)
}

private func steersTerminal(_ scalar: Unicode.Scalar) -> Bool {
  switch scalar.value {
  case 0x00...0x1F, 0x7F...0x9F: true
  case 0x061C, 0x200E...0x200F, 0x2028...0x202E, 0x2066...0x2069: true
  default: false
  }
}
