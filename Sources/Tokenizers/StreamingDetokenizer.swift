/// Turns tokens into text while they come, without ever cutting a character.
///
/// Bytes that may be the beginning of a character are held back, three at most, until the next
/// token completes or breaks it. Put together, the pieces are what `String(decoding:as:)` makes of
/// all bytes at once: each maximal invalid part becomes one U+FFFD. A NUL becomes U+FFFD, too,
/// because PostgreSQL's text cannot hold it.
///
/// The tokens are taken as the continuation of a prompt: the space in front of the first is kept.
public struct StreamingDetokenizer: Sendable {
  private let tokenizer: any Tokenizer
  private var held: [UInt8] = []

  /// A detokenizer at the beginning of an output.
  public init(_ tokenizer: any Tokenizer) {
    self.tokenizer = tokenizer
  }

  /// The text that is certain after one more token; empty while a character is incomplete.
  public mutating func append(_ token: TokenID) -> String {
    append(bytes: tokenizer.bytes(of: token))
  }

  /// The text that is certain after these further bytes.
  public mutating func append(bytes: ArraySlice<UInt8>) -> String {
    // Nearly always: whole characters and nothing held.
    if held.isEmpty, Self.incompleteSuffix(bytes) == 0 { return Self.text(bytes) }
    held += bytes
    let keep = Self.incompleteSuffix(held[...])
    let text = Self.text(held.dropLast(keep))
    held = Array(held.suffix(keep))
    return text
  }

  /// What was held back, at the end of the output: a U+FFFD for a character cut short, or nothing.
  public mutating func finish() -> String {
    defer { held = [] }
    return Self.text(held[...])
  }

  private static func text(_ bytes: ArraySlice<UInt8>) -> String {
    if !bytes.contains(0) { return String(decoding: bytes, as: UTF8.self) }
    let replacement = Array("\u{FFFD}".utf8)
    return String(decoding: bytes.flatMap { $0 == 0 ? replacement : [$0] }, as: UTF8.self)
  }

  /// How many of the last bytes are the beginning of a well-formed sequence and not yet all of it.
  ///
  /// Source: the Unicode standard, table 3-7, well-formed UTF-8 byte sequences.
  private static func incompleteSuffix(_ bytes: ArraySlice<UInt8>) -> Int {
    for count in 1...3 where count <= bytes.count {
      let lead = bytes[bytes.endIndex - count]
      if 0x80...0xBF ~= lead { continue }
      let length: Int
      let second: ClosedRange<UInt8>
      switch lead {
      case 0xC2...0xDF: (length, second) = (2, 0x80...0xBF)
      case 0xE0: (length, second) = (3, 0xA0...0xBF)
      case 0xED: (length, second) = (3, 0x80...0x9F)
      case 0xE1...0xEF: (length, second) = (3, 0x80...0xBF)
      case 0xF0: (length, second) = (4, 0x90...0xBF)
      case 0xF1...0xF3: (length, second) = (4, 0x80...0xBF)
      case 0xF4: (length, second) = (4, 0x80...0x8F)
      default: return 0
      }
      if count >= length { return 0 }
      return count == 1 || second ~= bytes[bytes.endIndex - count + 1] ? count : 0
    }
    return 0
  }
}
