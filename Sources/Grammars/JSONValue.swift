/// A JSON document whose objects keep the order of their members: schemas are written in an order.
indirect enum JSONValue: Hashable, Sendable {
  case null
  case bool(Bool)
  /// As it was written.
  case number(String)
  case string(String)
  case array([JSONValue])
  case object([Member])

  struct Member: Hashable, Sendable {
    var name: String
    var value: JSONValue
  }

  /// A member of an object.
  subscript(name: String) -> JSONValue? {
    guard case .object(let members) = self else { return nil }
    return members.first { $0.name.hasSameBytes(as: name) }?.value
  }

  var string: String? {
    if case .string(let text) = self { text } else { nil }
  }

  var array: [JSONValue]? {
    if case .array(let values) = self { values } else { nil }
  }

  var members: [Member]? {
    if case .object(let members) = self { members } else { nil }
  }

  /// A whole number, however it is written.
  var integer: Int? {
    guard case .number(let text) = self else { return nil }
    if let value = Int(text) { return value }
    guard let value = Double(text), value == value.rounded(), abs(value) < 1e15 else { return nil }
    return Int(value)
  }

  /// Without white space.
  var text: String {
    switch self {
    case .null: return "null"
    case .bool(let value): return value ? "true" : "false"
    case .number(let text): return text
    case .string(let text): return Self.quoted(text)
    case .array(let values): return "[" + values.map(\.text).joined(separator: ",") + "]"
    case .object(let members):
      let parts = members.map { Self.quoted($0.name) + ":" + $0.value.text }
      return "{" + parts.joined(separator: ",") + "}"
    }
  }

  /// One text for all ways of writing the same value, and for numbers that doubles cannot tell apart.
  var canonical: String {
    switch self {
    case .number(let text):
      let value = Double(text) ?? 0
      return value == 0 ? "0" : "\(value)"
    case .array(let values): return "[" + values.map(\.canonical).joined(separator: ",") + "]"
    case .object(let members):
      let parts = members.map { Self.quoted($0.name) + ":" + $0.value.canonical }
      return "{" + parts.sorted().joined(separator: ",") + "}"
    default: return text
    }
  }

  static func quoted(_ text: String) -> String {
    text.unicodeScalars.reduce(into: "\"") { $0 += escaped($1) } + "\""
  }

  /// A character as it stands in a string.
  static func escaped(_ character: Unicode.Scalar) -> String {
    switch character {
    case "\"": return "\\\""
    case "\\": return "\\\\"
    case "\n": return "\\n"
    case "\r": return "\\r"
    case "\t": return "\\t"
    case "\u{0}"..<" ":
      let digits = String(character.value, radix: 16)
      return "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
    default: return String(character)
    }
  }
}

/// Reads JSON (RFC 8259).
struct JSONText {
  private var bytes: [UInt8]
  private var place = 0
  private var depth = 0

  private init(_ text: String) { bytes = Array(text.utf8) }

  static func value(_ text: String) throws(GrammarError) -> JSONValue {
    var reader = JSONText(text)
    let value = try reader.value()
    reader.skip()
    guard reader.place == reader.bytes.count else {
      throw reader.error("there is something behind it")
    }
    return value
  }

  private func error(_ what: String) -> GrammarError {
    GrammarError("it is not JSON: at byte \(place), \(what)")
  }

  private mutating func skip() {
    while place < bytes.count, [0x20, 0x09, 0x0A, 0x0D].contains(bytes[place]) { place += 1 }
  }

  private mutating func take(_ text: String) -> Bool {
    let wanted = Array(text.utf8)
    guard bytes[place...].starts(with: wanted) else { return false }
    place += wanted.count
    return true
  }

  private mutating func value() throws(GrammarError) -> JSONValue {
    skip()
    guard place < bytes.count else { throw error("it ends too early") }
    if take("null") { return .null }
    if take("true") { return .bool(true) }
    if take("false") { return .bool(false) }
    switch bytes[place] {
    case UInt8(ascii: "\""):
      return .string(try string())
    case UInt8(ascii: "["), UInt8(ascii: "{"):
      depth += 1
      defer { depth -= 1 }
      guard depth <= GrammarLimits.depth else { throw error("it nests too deep") }
      return bytes[place] == UInt8(ascii: "[") ? try array() : try object()
    default:
      return try number()
    }
  }

  private mutating func array() throws(GrammarError) -> JSONValue {
    place += 1
    var values: [JSONValue] = []
    skip()
    if take("]") { return .array([]) }
    while true {
      values.append(try value())
      skip()
      if take("]") { return .array(values) }
      guard take(",") else { throw error(", or ] is missing") }
    }
  }

  private mutating func object() throws(GrammarError) -> JSONValue {
    place += 1
    var members: [JSONValue.Member] = []
    var names: Set<[UInt8]> = []
    skip()
    if take("}") { return .object([]) }
    while true {
      skip()
      guard place < bytes.count, bytes[place] == UInt8(ascii: "\"") else {
        throw error("a member begins with its name")
      }
      let name = try string()
      guard names.insert(Array(name.utf8)).inserted else {
        throw error("the member \(name) occurs twice")
      }
      skip()
      guard take(":") else { throw error(": is missing") }
      members.append(JSONValue.Member(name: name, value: try value()))
      skip()
      if take("}") { return .object(members) }
      guard take(",") else { throw error(", or } is missing") }
    }
  }

  private mutating func number() throws(GrammarError) -> JSONValue {
    let start = place
    while place < bytes.count, "+-.eE0123456789".utf8.contains(bytes[place]) { place += 1 }
    let text = String(decoding: bytes[start..<place], as: UTF8.self)
    guard text.wholeMatch(of: /-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?/) != nil else {
      throw error("a value was expected")
    }
    return .number(text)
  }

  private mutating func string() throws(GrammarError) -> String {
    place += 1
    var text: [UInt8] = []
    while place < bytes.count {
      let byte = bytes[place]
      place += 1
      switch byte {
      case UInt8(ascii: "\""):
        guard let whole = String(validating: text, as: UTF8.self) else {
          throw error("a string is not UTF-8")
        }
        return whole
      case 0..<0x20: throw error("a control character stands in a string")
      case UInt8(ascii: "\\"): text += Array(String(try escape()).utf8)
      default: text.append(byte)
      }
    }
    throw error("a string does not end")
  }

  private mutating func escape() throws(GrammarError) -> Character {
    let plain: [(String, Character)] = [
      ("\"", "\""), ("\\", "\\"), ("/", "/"), ("b", "\u{8}"), ("f", "\u{C}"), ("n", "\n"),
      ("r", "\r"), ("t", "\t"),
    ]
    for (letter, character) in plain where take(letter) { return character }
    guard take("u") else { throw error("an unknown escape") }
    var value = try hexadecimal()
    if (0xD800...0xDBFF).contains(value), take("\\u") {
      let low = try hexadecimal()
      guard (0xDC00...0xDFFF).contains(low) else { throw error("half of a surrogate pair") }
      value = 0x10000 + (value - 0xD800) << 10 + (low - 0xDC00)
    }
    guard let character = Unicode.Scalar(value) else { throw error("half of a surrogate pair") }
    return Character(character)
  }

  private mutating func hexadecimal() throws(GrammarError) -> UInt32 {
    let end = place + 4
    guard end <= bytes.count,
      bytes[place..<end].allSatisfy({ Character(Unicode.Scalar($0)).isHexDigit }),
      let value = UInt32(String(decoding: bytes[place..<end], as: UTF8.self), radix: 16)
    else { throw error("\\u needs four hexadecimal digits") }
    place = end
    return value
  }
}

extension String {
  /// Whether the texts are the same byte by byte: to JSON, two ways of writing an accent are two
  /// names.
  func hasSameBytes(as other: String) -> Bool { utf8.elementsEqual(other.utf8) }
}
