/// Reads the notation of llama.cpp's grammars (GBNF): `name ::= expression`, with literals in quotes,
/// character classes, `.`, names of other rules, parentheses, `|`, and `*`, `+`, `?`, `{n}`, `{n,}`,
/// `{n,m}` behind them. `#` begins a comment. The text is to be what `root` stands for.
struct GrammarText {
  private var characters: [Unicode.Scalar]
  private var place = 0
  private var names: [String] = []
  private var numbers: [String: Int] = [:]
  private var rules: [Int: GrammarExpression] = [:]
  private var depth = 0

  private init(_ text: String) { characters = Array(text.unicodeScalars) }

  static func rules(_ text: String) throws(GrammarError) -> GrammarRules {
    var reader = GrammarText(text)
    try reader.readRules()
    guard let root = reader.numbers["root"], reader.rules[root] != nil else {
      throw GrammarError("there is no rule called root")
    }
    var rules: [GrammarExpression] = []
    for (number, name) in reader.names.enumerated() {
      guard let rule = reader.rules[number] else {
        throw GrammarError("the rule \(name) is used and not defined")
      }
      rules.append(rule)
    }
    return GrammarRules(names: reader.names, rules: rules, root: root)
  }

  private var next: Unicode.Scalar? { place < characters.count ? characters[place] : nil }

  private func error(_ what: String) -> GrammarError {
    let line = characters[..<min(place, characters.count)].count { $0 == "\n" } + 1
    return GrammarError("line \(line): \(what)")
  }

  private mutating func skip(lines: Bool) {
    while let character = next {
      if character == "#" {
        while let inside = next, inside != "\n" {
          _ = inside
          place += 1
        }
      } else if character == " " || character == "\t"
        || lines && (character == "\n" || character == "\r")
      {
        place += 1
      } else {
        return
      }
    }
  }

  private mutating func take(_ text: String) -> Bool {
    let wanted = Array(text.unicodeScalars)
    guard characters[place...].starts(with: wanted) else { return false }
    place += wanted.count
    return true
  }

  private mutating func name() -> String? {
    let start = place
    while let character = next,
      character.isASCII
        && (character.properties.isAlphabetic || "0123456789-_".unicodeScalars.contains(character))
    {
      place += 1
    }
    return place > start
      ? String(String.UnicodeScalarView(characters[start..<place])) : nil
  }

  private mutating func number(of name: String) -> Int {
    if let number = numbers[name] { return number }
    numbers[name] = names.count
    names.append(name)
    return names.count - 1
  }

  private mutating func readRules() throws(GrammarError) {
    skip(lines: true)
    while next != nil {
      guard let name = name() else { throw error("a rule begins with its name") }
      skip(lines: true)
      guard take("::=") else { throw error("::= is missing behind \(name)") }
      let number = number(of: name)
      guard rules[number] == nil else { throw error("the rule \(name) is defined twice") }
      rules[number] = try choice(isNested: false)
      skip(lines: true)
    }
  }

  /// Alternatives. Outside of parentheses a line's end ends them, unless the next line goes on
  /// with `|`.
  private mutating func choice(isNested: Bool) throws(GrammarError) -> GrammarExpression {
    depth += 1
    defer { depth -= 1 }
    guard depth <= GrammarLimits.depth else { throw error("parentheses nest too deep") }
    var alternatives = [try sequence(isNested: isNested)]
    while true {
      let mark = place
      skip(lines: true)
      guard take("|") else {
        if !isNested { place = mark }
        break
      }
      alternatives.append(try sequence(isNested: isNested))
    }
    return alternatives.count == 1 ? alternatives[0] : .choice(alternatives)
  }

  private mutating func sequence(isNested: Bool) throws(GrammarError) -> GrammarExpression {
    var parts: [GrammarExpression] = []
    skip(lines: true)
    while let part = try item() {
      skip(lines: isNested)
      parts.append(try repeated(part))
      skip(lines: isNested)
    }
    return parts.count == 1 ? parts[0] : .sequence(parts)
  }

  private mutating func item() throws(GrammarError) -> GrammarExpression? {
    guard let character = next else { return nil }
    switch character {
    case "\"":
      place += 1
      return try literal()
    case "[":
      place += 1
      return try characterClass()
    case ".":
      place += 1
      return .characters(CharacterRanges.all)
    case "(":
      place += 1
      let inside = try choice(isNested: true)
      skip(lines: true)
      guard take(")") else { throw error(") is missing") }
      return inside
    default:
      let mark = place
      guard let name = name() else { return nil }
      // The next line's rule is no part of this one.
      skip(lines: false)
      if take("::=") {
        place = mark
        return nil
      }
      return .rule(number(of: name))
    }
  }

  private mutating func literal() throws(GrammarError) -> GrammarExpression {
    var text = String.UnicodeScalarView()
    while !take("\"") {
      guard next != nil, next != "\n" else { throw error("a closing quote is missing") }
      text.append(try character())
    }
    return .text(String(text))
  }

  private mutating func characterClass() throws(GrammarError) -> GrammarExpression {
    let isNegated = take("^")
    var ranges: [ClosedRange<UInt32>] = []
    while !take("]") {
      guard next != nil, next != "\n" else { throw error("] is missing") }
      let first = try character()
      var last = first
      if next == "-", place + 1 < characters.count, characters[place + 1] != "]" {
        place += 1
        last = try character()
      }
      guard first.value <= last.value else { throw error("a range of characters runs backwards") }
      ranges.append(first.value...last.value)
    }
    return .characters(isNegated ? CharacterRanges.inverted(ranges) : ranges)
  }

  /// One character, written as itself or behind a backslash.
  private mutating func character() throws(GrammarError) -> Unicode.Scalar {
    guard let character = next else { throw error("the grammar ends too early") }
    place += 1
    guard character == "\\" else { return character }
    guard let escaped = next else { throw error("the grammar ends behind a backslash") }
    place += 1
    switch escaped {
    case "n": return "\n"
    case "r": return "\r"
    case "t": return "\t"
    case "\\", "\"", "[", "]", "-", "^": return escaped
    case "x": return try hexadecimal(2)
    case "u": return try hexadecimal(4)
    case "U": return try hexadecimal(8)
    default: throw error("\\\(escaped) is no escape")
    }
  }

  private mutating func hexadecimal(_ digits: Int) throws(GrammarError) -> Unicode.Scalar {
    let end = place + digits
    guard end <= characters.count,
      characters[place..<end].allSatisfy({ Character($0).isHexDigit }),
      let value = UInt32(String(String.UnicodeScalarView(characters[place..<end])), radix: 16),
      let character = Unicode.Scalar(value)
    else { throw error("an escape needs \(digits) hexadecimal digits of a character") }
    place = end
    return character
  }

  private mutating func repeated(
    _ expression: GrammarExpression
  ) throws(GrammarError) -> GrammarExpression {
    if take("*") { return .repeated(expression, least: 0, most: nil) }
    if take("+") { return .repeated(expression, least: 1, most: nil) }
    if take("?") { return .optional(expression) }
    guard take("{") else { return expression }
    let least = try count()
    var most: Int? = least
    if take(",") { most = next == "}" ? nil : try count() }
    guard take("}") else { throw error("} is missing") }
    guard least <= most ?? least else { throw error("{\(least),\(most ?? 0)} runs backwards") }
    return .repeated(expression, least: least, most: most)
  }

  private mutating func count() throws(GrammarError) -> Int {
    skip(lines: false)
    let start = place
    while let digit = next, ("0"..."9").contains(digit) { place += 1 }
    let text = String(String.UnicodeScalarView(characters[start..<place]))
    skip(lines: false)
    guard let value = Int(text), value <= GrammarLimits.repetitions else {
      throw error("a number of repetitions must be 0 to \(GrammarLimits.repetitions)")
    }
    return value
  }
}
