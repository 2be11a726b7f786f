extension JSONSchemaRules {
  // MARK: Objects

  /// Members in the order of the schema; those that are not required may be left out.
  mutating func object(
    _ schema: JSONValue, at path: String
  ) throws(GrammarError) -> GrammarExpression {
    let properties = schema["properties"]?.members ?? []
    let required = try names(schema["required"], at: path + "/required")
    let others = schema["additionalProperties"] ?? .bool(true)
    var members: [(name: String, value: GrammarExpression, isRequired: Bool)] = []
    for property in properties {
      members.append(
        (
          property.name,
          try expression(property.value, at: "\(path)/properties/\(property.name)"),
          required.contains { $0.hasSameBytes(as: property.name) }
        ))
    }
    for name in required where !properties.contains(where: { $0.name.hasSameBytes(as: name) }) {
      members.append(
        (name, try expression(others, at: path + "/additionalProperties"), true))
    }
    if members.isEmpty {
      guard others != .bool(false) else { return .sequence([.text("{"), .text("}")]) }
      return map(of: try expression(others, at: path + "/additionalProperties"))
    }
    return object(members)
  }

  private func names(_ value: JSONValue?, at path: String) throws(GrammarError) -> [String] {
    guard let value else { return [] }
    let names = value.array?.compactMap(\.string) ?? []
    guard let count = value.array?.count, names.count == count,
      Set(names.map { Array($0.utf8) }).count == count
    else {
      throw GrammarError("\(path) must be a list of different names")
    }
    return names
  }

  private mutating func object(
    _ members: [(name: String, value: GrammarExpression, isRequired: Bool)]
  ) -> GrammarExpression {
    // From the last member to the first: what may follow it, where some came before and where none
    // did. Each is a rule, so that nothing is written out twice.
    var after = GrammarExpression.empty
    var first = GrammarExpression.empty
    for member in members.reversed() {
      let pair = GrammarExpression.sequence([
        .text(JSONValue.quoted(member.name) + ":"), .optional(.text(" ")), member.value,
      ])
      let rest = rule("what follows \(member.name)", after)
      let next = GrammarExpression.sequence([.text(","), gap, pair, rest])
      let begin = GrammarExpression.sequence([gap, pair, rest])
      after = member.isRequired ? next : .choice([next, rest])
      first =
        member.isRequired
        ? begin : .choice([begin, rule("what begins behind \(member.name)", first)])
    }
    return .sequence([.text("{"), first, gap, .text("}")])
  }

  private mutating func rule(
    _ name: String, _ expression: GrammarExpression
  ) -> GrammarExpression {
    if expression == .empty { return expression }
    return .rule(addRule(name, expression))
  }

  /// Members of any names with values of one kind.
  mutating func map(of value: GrammarExpression) -> GrammarExpression {
    let pair = GrammarExpression.sequence([anyString, .text(":"), .optional(.text(" ")), value])
    let further = GrammarExpression.repeated(
      .sequence([.text(","), gap, pair]), least: 0, most: nil)
    return .sequence([.text("{"), .optional(.sequence([gap, pair, further])), gap, .text("}")])
  }

  // MARK: Lists

  mutating func array(
    _ schema: JSONValue, at path: String
  ) throws(GrammarError) -> GrammarExpression {
    let least = try count(schema["minItems"], at: path + "/minItems") ?? 0
    let most = try count(schema["maxItems"], at: path + "/maxItems")
    if schema["uniqueItems"] == .bool(true), most ?? 2 > 1 {
      throw GrammarError("\(path)/uniqueItems is not supported")
    }
    guard let prefix = schema["prefixItems"]?.array, !prefix.isEmpty else {
      let items = schema["items"] ?? .bool(true)
      let most = items == .bool(false) ? 0 : most
      guard least <= most ?? least else { return .choice([]) }
      return list(of: try expression(items, at: path + "/items"), least: least, most: most)
    }
    var places: [GrammarExpression] = []
    for (index, item) in prefix.enumerated() {
      places.append(try expression(item, at: "\(path)/prefixItems/\(index)"))
    }
    // As many as are named, unless more are asked for or fewer allowed.
    let wanted = min(max(least, prefix.count), most ?? .max)
    guard wanted >= least else { return .choice([]) }
    if wanted > places.count {
      let others = try expression(schema["items"] ?? .bool(true), at: path + "/items")
      places += Array(repeating: others, count: wanted - places.count)
    }
    var parts: [GrammarExpression] = [.text("[")]
    for (index, place) in places.prefix(wanted).enumerated() {
      parts += (index > 0 ? [.text(",")] : []) + [gap, place]
    }
    return .sequence(parts + [gap, .text("]")])
  }

  mutating func list(
    of item: GrammarExpression, least: Int, most: Int?
  ) -> GrammarExpression {
    guard most != 0 else { return .text("[]") }
    let further = GrammarExpression.repeated(
      .sequence([.text(","), gap, item]), least: max(least - 1, 0), most: most.map { $0 - 1 })
    let items = GrammarExpression.sequence([gap, item, further])
    return .sequence([.text("["), least > 0 ? items : .optional(items), gap, .text("]")])
  }

  private func count(_ value: JSONValue?, at path: String) throws(GrammarError) -> Int? {
    guard let value else { return nil }
    guard let count = value.integer, (0...GrammarLimits.repetitions).contains(count) else {
      throw GrammarError("\(path) must be a whole number, 0 to \(GrammarLimits.repetitions)")
    }
    return count
  }

  // MARK: Strings

  mutating func string(
    _ schema: JSONValue, at path: String
  ) throws(GrammarError) -> GrammarExpression {
    let least = try count(schema["minLength"], at: path + "/minLength")
    let most = try count(schema["maxLength"], at: path + "/maxLength")
    let format = schema["format"]?.string.flatMap(Self.format)
    if let pattern = schema["pattern"] {
      guard let text = pattern.string else {
        throw GrammarError("\(path)/pattern must be a string")
      }
      guard least == nil, most == nil, format == nil else {
        throw GrammarError(
          "\(path)/pattern beside minLength, maxLength or format is not supported; put the length "
            + "into the pattern")
      }
      do {
        return .sequence([.text("\""), try SchemaPattern.expression(text), .text("\"")])
      } catch {
        throw GrammarError("\(path)/pattern: \(error.message)")
      }
    }
    if let format {
      guard least == nil, most == nil else {
        throw GrammarError("\(path)/format beside minLength or maxLength is not supported")
      }
      return .sequence([.text("\""), format, .text("\"")])
    }
    guard least ?? 0 <= most ?? .max else { return .choice([]) }
    guard least != nil || most != nil else { return anyString }
    return .sequence([
      .text("\""), .repeated(character, least: least ?? 0, most: most), .text("\""),
    ])
  }

  /// The strings of a format; `nil` for those that are taken for a remark.
  private static func format(_ name: String) -> GrammarExpression? {
    let digits = { (least: Int, most: Int) in
      IntegerRange.padded(least, most)
    }
    let date = GrammarExpression.sequence([
      JSONExpressions.digitButZero, .repeated(JSONExpressions.digit, least: 3, most: 3),
      .text("-"),
      .choice([
        .sequence([
          .choice(["01", "03", "05", "07", "08", "10", "12"].map { .text($0) }), .text("-"),
          digits(1, 31),
        ]),
        .sequence([
          .choice(["04", "06", "09", "11"].map { .text($0) }), .text("-"), digits(1, 30),
        ]),
        .sequence([.text("02-"), digits(1, 28)]),
      ]),
    ])
    let clock = GrammarExpression.sequence([
      digits(0, 23), .text(":"), digits(0, 59), .text(":"), digits(0, 59),
      .optional(.sequence([.text("."), .repeated(JSONExpressions.digit, least: 1, most: 6)])),
      .choice([
        .text("Z"),
        .sequence([
          .characters([0x2B...0x2B, 0x2D...0x2D]), digits(0, 23), .text(":"), digits(0, 59),
        ]),
      ]),
    ])
    let hexadecimal = { (count: Int) in
      GrammarExpression.repeated(
        .characters([0x30...0x39, 0x61...0x66]), least: count, most: count)
    }
    let byte = IntegerRange.expression(0, 255) ?? .empty
    switch name {
    case "date": return date
    case "time": return clock
    case "date-time": return .sequence([date, .text("T"), clock])
    case "uuid":
      return .sequence(
        [hexadecimal(8)] + [4, 4, 4, 12].flatMap { [.text("-"), hexadecimal($0)] })
    case "ipv4":
      return .sequence([byte] + Array(repeating: .sequence([.text("."), byte]), count: 3))
    default: return nil
    }
  }

  // MARK: Numbers

  mutating func number(
    _ schema: JSONValue, isWhole: Bool, at path: String
  ) throws(GrammarError) -> GrammarExpression {
    let least = try bound("minimum", "exclusiveMinimum", schema, at: path)
    let most = try bound("maximum", "exclusiveMaximum", schema, at: path)
    if isWhole {
      guard least != nil || most != nil else { return anyInteger }
      let low = least.map { $0.value + ($0.isExcluded ? 1 : 0) }
      let high = most.map { $0.value - ($0.isExcluded ? 1 : 0) }
      return IntegerRange.expression(low, high) ?? .choice([])
    }
    guard least != nil || most != nil else { return anyNumber }
    return fractions(least, most)
  }

  private typealias Bound = (value: Int, isExcluded: Bool)

  private func bound(
    _ keyword: String, _ exclusive: String, _ schema: JSONValue, at path: String
  ) throws(GrammarError) -> Bound? {
    if schema[keyword] != nil, schema[exclusive] != nil {
      throw GrammarError("\(path)/\(keyword) beside \(exclusive) is not supported")
    }
    for (name, isExcluded) in [(keyword, false), (exclusive, true)] {
      guard let value = schema[name] else { continue }
      guard let number = value.integer, number.magnitude < 1_000_000_000_000_000 else {
        throw GrammarError(
          "\(path)/\(name) is supported as a whole number of at most 15 digits only")
      }
      return (number, isExcluded)
    }
    return nil
  }

  /// Numbers between bounds: whole ones, and between two whole ones those with a fraction.
  private func fractions(_ least: Bound?, _ most: Bound?) -> GrammarExpression {
    var alternatives: [GrammarExpression] = []
    let largest = [least, most].compactMap { $0?.value.magnitude }.max() ?? 0
    let fraction = JSONExpressions.positiveFraction(digits: max(15 - String(largest).count, 1))
    let low = least.map { $0.value + ($0.isExcluded ? 1 : 0) }
    let high = most.map { $0.value - ($0.isExcluded ? 1 : 0) }
    if let whole = IntegerRange.expression(low, high) { alternatives.append(whole) }
    // n.f for n from 0 on is over n and under n + 1; -n.f is under -n and over -n - 1.
    // So few digits that no fraction is rounded to a bound.
    if most.map({ $0.value > 0 }) ?? true,
      let whole = IntegerRange.expression(max(least?.value ?? 0, 0), most.map { $0.value - 1 })
    {
      alternatives.append(.sequence([whole, fraction]))
    }
    if least.map({ $0.value < 0 }) ?? true,
      let whole = IntegerRange.expression(
        max(most.map { -$0.value } ?? 0, 0), least.map { -$0.value - 1 })
    {
      alternatives.append(.sequence([.text("-"), whole, fraction]))
    }
    return .choice(alternatives)
  }
}

extension IntegerRange {
  /// Whole numbers up to 99 with two digits each.
  static func padded(_ least: Int, _ most: Int) -> GrammarExpression {
    .choice((least...most).map { .text($0 < 10 ? "0\($0)" : "\($0)") })
  }
}
