/// Regular expressions of JSON schemas (a part of ECMA-262) as grammars of the strings that they
/// match, written as JSON writes them.
struct SchemaPattern {
  private var characters: [Unicode.Scalar]
  private var place = 0
  private var depth = 0
  /// Whether there are alternatives outside of all parentheses.
  private var hasAlternatives = false
  private let pattern: String

  /// The inside of the quotes. A pattern matches anywhere, unless it begins with ^ and ends with $.
  static func expression(_ pattern: String) throws(GrammarError) -> GrammarExpression {
    var reader = SchemaPattern(pattern)
    let isAnchored = reader.take("^")
    let ends = reader.characters.last == "$" && !reader.isEscapedEnd
    if ends { reader.characters.removeLast() }
    let inside = try reader.choice()
    guard reader.place == reader.characters.count else { throw reader.error("a ) too many") }
    if reader.hasAlternatives, isAnchored || ends {
      throw reader.error("^ or $ belongs to one alternative only; put them into parentheses")
    }
    let anything = GrammarExpression.repeated(JSONExpressions.character, least: 0, most: nil)
    return .sequence((isAnchored ? [] : [anything]) + [inside] + (ends ? [] : [anything]))
  }

  private init(_ pattern: String) {
    self.pattern = pattern
    characters = Array(pattern.unicodeScalars)
  }

  private var isEscapedEnd: Bool {
    characters.dropLast().reversed().prefix { $0 == "\\" }.count % 2 == 1
  }

  private var next: Unicode.Scalar? { place < characters.count ? characters[place] : nil }

  private func error(_ what: String) -> GrammarError {
    GrammarError("the pattern \(pattern) cannot be used: \(what)")
  }

  private mutating func take(_ character: Unicode.Scalar) -> Bool {
    guard next == character else { return false }
    place += 1
    return true
  }

  private mutating func choice() throws(GrammarError) -> GrammarExpression {
    depth += 1
    defer { depth -= 1 }
    guard depth <= GrammarLimits.depth else { throw error("it nests too deep") }
    var alternatives = [try sequence()]
    while take("|") {
      alternatives.append(try sequence())
      hasAlternatives = hasAlternatives || depth == 1
    }
    return alternatives.count == 1 ? alternatives[0] : .choice(alternatives)
  }

  private mutating func sequence() throws(GrammarError) -> GrammarExpression {
    var parts: [GrammarExpression] = []
    while let character = next, character != "|", character != ")" {
      parts.append(try repeated(try atom()))
    }
    return parts.count == 1 ? parts[0] : .sequence(parts)
  }

  private mutating func atom() throws(GrammarError) -> GrammarExpression {
    let character = characters[place]
    place += 1
    switch character {
    case "(":
      if take("?") {
        guard take(":") else { throw error("lookaround and named groups are not supported") }
      }
      let inside = try choice()
      guard take(")") else { throw error("a ) is missing") }
      return inside
    case "[":
      return JSONExpressions.escaped(try characterClass())
    case ".":
      return JSONExpressions.escaped(
        CharacterRanges.inverted([0x0A...0x0A, 0x0D...0x0D, 0x2028...0x2029]))
    case "\\":
      return JSONExpressions.escaped(try escape())
    case "^", "$":
      throw error("^ and $ are supported at its ends only")
    case "*", "+", "?", "{":
      throw error("there is nothing to repeat before \(character)")
    default:
      return JSONExpressions.escaped([character.value...character.value])
    }
  }

  private mutating func repeated(
    _ expression: GrammarExpression
  ) throws(GrammarError) -> GrammarExpression {
    var result = expression
    if take("*") {
      result = .repeated(expression, least: 0, most: nil)
    } else if take("+") {
      result = .repeated(expression, least: 1, most: nil)
    } else if take("?") {
      result = .optional(expression)
    } else if take("{") {
      let least = try count()
      var most: Int? = least
      if take(",") { most = next == "}" ? nil : try count() }
      guard take("}"), least <= most ?? least else { throw error("a {n,m} is wrong") }
      result = .repeated(expression, least: least, most: most)
    } else {
      return expression
    }
    // Which match is found first does not matter: the texts are the same.
    _ = take("?")
    return result
  }

  private mutating func count() throws(GrammarError) -> Int {
    let start = place
    while let digit = next, ("0"..."9").contains(digit) { place += 1 }
    let text = String(String.UnicodeScalarView(characters[start..<place]))
    guard let value = Int(text), value <= GrammarLimits.repetitions else {
      throw error("a number of repetitions must be 0 to \(GrammarLimits.repetitions)")
    }
    return value
  }

  private mutating func characterClass() throws(GrammarError) -> [ClosedRange<UInt32>] {
    let isNegated = take("^")
    var ranges: [ClosedRange<UInt32>] = []
    while !take("]") {
      guard next != nil else { throw error("a ] is missing") }
      let first = try member(isNegated: isNegated)
      guard next == "-", place + 1 < characters.count, characters[place + 1] != "]",
        first.count == 1, first[0].count == 1
      else {
        ranges += first
        continue
      }
      place += 1
      let last = try member(isNegated: isNegated)
      guard last.count == 1, last[0].count == 1, first[0].lowerBound <= last[0].lowerBound else {
        throw error("a range of characters is wrong")
      }
      ranges.append(first[0].lowerBound...last[0].lowerBound)
    }
    return isNegated ? CharacterRanges.inverted(ranges) : ranges
  }

  private mutating func member(
    isNegated: Bool
  ) throws(GrammarError) -> [ClosedRange<UInt32>] {
    guard let character = next else { throw error("a ] is missing") }
    place += 1
    return character == "\\"
      ? try escape(isNegated: isNegated) : [character.value...character.value]
  }

  /// `isNegated` in a class of all that are not in it.
  private mutating func escape(
    isNegated: Bool = false
  ) throws(GrammarError) -> [ClosedRange<UInt32>] {
    guard let character = next else { throw error("it ends behind a backslash") }
    place += 1
    let digits: [ClosedRange<UInt32>] = [0x30...0x39]
    let word: [ClosedRange<UInt32>] = digits + [0x41...0x5A, 0x5F...0x5F, 0x61...0x7A]
    let space: [ClosedRange<UInt32>] = [0x09...0x0D, 0x20...0x20]
    switch character {
    case "d": return digits
    case "D": return CharacterRanges.inverted(digits)
    case "w": return word
    case "W": return CharacterRanges.inverted(word)
    // What ECMA-262 takes for white space beyond ASCII is in neither.
    case "s": return isNegated ? space + Self.wideSpace : space
    case "S": return CharacterRanges.inverted(isNegated ? space : space + Self.wideSpace)
    case "n": return [0x0A...0x0A]
    case "r": return [0x0D...0x0D]
    case "t": return [0x09...0x09]
    case "f": return [0x0C...0x0C]
    case "v": return [0x0B...0x0B]
    case "u", "x": return try hexadecimal(character == "u" ? 4 : 2)
    default:
      guard !character.properties.isAlphabetic, !("0"..."9").contains(character) else {
        throw error("\\\(character) is not supported")
      }
      return [character.value...character.value]
    }
  }

  private static let wideSpace: [ClosedRange<UInt32>] = [
    0xA0...0xA0, 0x1680...0x1680, 0x2000...0x200A, 0x2028...0x2029, 0x202F...0x202F,
    0x205F...0x205F, 0x3000...0x3000, 0xFEFF...0xFEFF,
  ]

  private mutating func hexadecimal(_ digits: Int) throws(GrammarError) -> [ClosedRange<UInt32>] {
    let end = place + digits
    guard end <= characters.count,
      characters[place..<end].allSatisfy({ Character($0).isHexDigit }),
      let value = UInt32(String(String.UnicodeScalarView(characters[place..<end])), radix: 16),
      Unicode.Scalar(value) != nil
    else { throw error("an escape needs \(digits) hexadecimal digits of a character") }
    place = end
    return [value...value]
  }
}
