/// A text that equals another only byte for byte, as the database compares.
///
/// `String` holds two spellings of one character (`é` as one scalar or as two) for equal; as
/// names of tenants, requests and models they are two.
package struct ExactText: Hashable, Sendable {
  package let text: String

  package init(_ text: String) {
    self.text = text
  }

  package static func == (left: ExactText, right: ExactText) -> Bool {
    left.text.utf8.elementsEqual(right.text.utf8)
  }

  package func hash(into hasher: inout Hasher) {
    for byte in text.utf8 { hasher.combine(byte) }
    hasher.combine(0xff as UInt8)
  }
}

extension String {
  /// Whether the texts are equal byte for byte.
  package func isExactly(_ other: String) -> Bool { utf8.elementsEqual(other.utf8) }
}
