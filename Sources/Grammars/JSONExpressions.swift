/// The parts of JSON documents as grammars. Numbers and white space have limits, so that a text
/// cannot go on for ever inside of one.
enum JSONExpressions {
  /// Digits of a number before the point, or behind it, beside the first.
  private static let digits = 15

  static let digit = GrammarExpression.characters([0x30...0x39])
  static let digitButZero = GrammarExpression.characters([0x31...0x39])

  /// White space where a document may be broken into lines: none, a space, or a new line and
  /// spaces.
  static let gap = GrammarExpression.optional(
    .choice([
      .text(" "),
      .sequence([
        .text("\n"), .repeated(.characters([0x20...0x20]), least: 0, most: 20),
      ]),
    ]))

  static let integer = GrammarExpression.sequence([.optional(.text("-")), natural])

  static let natural = GrammarExpression.choice([
    .text("0"), .sequence([digitButZero, .repeated(digit, least: 0, most: digits)]),
  ])

  /// A point and digits.
  static let fraction = GrammarExpression.sequence([
    .text("."), .repeated(digit, least: 1, most: digits),
  ])

  /// A point and up to so many digits, the last one not zero.
  static func positiveFraction(digits: Int) -> GrammarExpression {
    .sequence([.text("."), .repeated(digit, least: 0, most: digits - 1), digitButZero])
  }

  static let number = GrammarExpression.sequence([
    integer, .optional(fraction),
    .optional(
      .sequence([
        .characters([0x45...0x45, 0x65...0x65]),
        .optional(.characters([0x2B...0x2B, 0x2D...0x2D])), .repeated(digit, least: 1, most: 2),
      ])),
  ])

  /// One character of a string, as itself or escaped.
  static let character = GrammarExpression.choice([
    .characters(CharacterRanges.inverted([0...0x1F, 0x22...0x22, 0x5C...0x5C])),
    .sequence([.text("\\"), .characters("\"\\/bfnrt".unicodeScalars.map { $0.value...$0.value })]),
    .sequence([
      .text("\\u"),
      .choice([
        .sequence([.characters(hexadecimalButD), .repeated(hexadecimal, least: 3, most: 3)]),
        // Halves of surrogate pairs are left out.
        .sequence([
          .characters([0x44...0x44, 0x64...0x64]), .characters([0x30...0x37]),
          .repeated(hexadecimal, least: 2, most: 2),
        ]),
      ]),
    ]),
  ])

  private static let hexadecimal = GrammarExpression.characters([
    0x30...0x39, 0x41...0x46, 0x61...0x66,
  ])
  private static let hexadecimalButD: [ClosedRange<UInt32>] = [
    0x30...0x39, 0x41...0x43, 0x45...0x46, 0x61...0x63, 0x65...0x66,
  ]

  /// The characters of these ranges, each in the one way in which a string needs it written.
  static func escaped(_ ranges: [ClosedRange<UInt32>]) -> GrammarExpression {
    let special = CharacterRanges.normalized([0...0x1F, 0x22...0x22, 0x5C...0x5C])
    let normal = CharacterRanges.normalized(ranges)
    var alternatives: [GrammarExpression] = []
    let plain = CharacterRanges.inverted(CharacterRanges.inverted(normal) + special)
    if !plain.isEmpty { alternatives.append(.characters(plain)) }
    for value in special.joined() where normal.contains(where: { $0.contains(value) }) {
      guard let scalar = Unicode.Scalar(value) else { continue }
      alternatives.append(.text(JSONValue.escaped(scalar)))
    }
    return alternatives.count == 1 ? alternatives[0] : .choice(alternatives)
  }
}

/// Whole numbers between bounds, in digits.
enum IntegerRange {
  /// Digits of a number that has no upper bound, at most.
  private static let mostDigits = 16

  /// Whole numbers from `least` to `most`, either of which may be missing; `nil` where there is none.
  static func expression(_ least: Int?, _ most: Int?) -> GrammarExpression? {
    if let least, let most, least > most { return nil }
    var alternatives: [GrammarExpression] = []
    let negative = natural(most.map { max(1, 0 - $0) } ?? 1, least.map { 0 - $0 })
    if least ?? -1 < 0, let negative { alternatives.append(.sequence([.text("-"), negative])) }
    if most ?? 1 >= 0, let positive = natural(max(0, least ?? 0), most) {
      alternatives.append(positive)
    }
    guard !alternatives.isEmpty else { return nil }
    return alternatives.count == 1 ? alternatives[0] : .choice(alternatives)
  }

  /// Numbers from `least`, not negative, to `most`.
  private static func natural(_ least: Int, _ most: Int?) -> GrammarExpression? {
    let most = most ?? (pow10(mostDigits) - 1)
    guard least <= most else { return nil }
    var alternatives: [GrammarExpression] = []
    var low = least
    for digits in 1...19 where low <= most {
      let largest = digits >= 19 ? Int.max : pow10(digits) - 1
      guard low <= largest else { continue }
      let high = min(most, largest)
      alternatives.append(equallyLong(Array(String(low).utf8), Array(String(high).utf8)))
      guard high < Int.max else { break }
      low = high + 1
    }
    return alternatives.count == 1 ? alternatives[0] : .choice(alternatives)
  }

  private static func pow10(_ exponent: Int) -> Int {
    (0..<exponent).reduce(1) { value, _ in value * 10 }
  }

  /// Numbers between two of as many digits.
  private static func equallyLong(_ low: [UInt8], _ high: [UInt8]) -> GrammarExpression {
    guard let first = low.first, let last = high.first else { return .empty }
    let (lowRest, highRest) = (Array(low.dropFirst()), Array(high.dropFirst()))
    let nines = [UInt8](repeating: 0x39, count: lowRest.count)
    let zeros = [UInt8](repeating: 0x30, count: lowRest.count)
    let anyRest = GrammarExpression.repeated(
      JSONExpressions.digit, least: lowRest.count, most: lowRest.count)
    if lowRest == zeros, highRest == nines {
      return .sequence([.characters([UInt32(first)...UInt32(last)]), anyRest])
    }
    if first == last {
      return .sequence([.literal([first]), equallyLong(lowRest, highRest)])
    }
    var alternatives = [
      GrammarExpression.sequence([.literal([first]), equallyLong(lowRest, nines)])
    ]
    if last - first > 1 {
      alternatives.append(
        .sequence([.characters([UInt32(first + 1)...UInt32(last - 1)]), anyRest]))
    }
    alternatives.append(.sequence([.literal([last]), equallyLong(zeros, highRest)]))
    return .choice(alternatives)
  }
}
