import Foundation

/// A JSON schema (draft 2020-12, and the earlier ones where they say the same) as a grammar of
/// documents that are valid under it.
///
/// Not every valid document can come out: members come in the order of the schema, and only such as
/// it names; white space is little. What the grammar cannot guarantee is refused, by the name of
/// the keyword and its place.
struct JSONSchemaRules {
  private let document: JSONValue
  private var names: [String] = []
  private var rules: [GrammarExpression?] = []
  /// The rules of what was referred to, by the reference.
  private var references: [String: Int] = [:]
  /// The rules of what occurs in many places, by name.
  private var shared: [String: Int] = [:]
  private var depth = 0

  static func rules(_ text: String) throws(GrammarError) -> GrammarRules {
    var maker = JSONSchemaRules(document: try JSONText.value(text))
    let root = maker.newRule("the document")
    maker.rules[root] = try maker.expression(maker.document, at: "#")
    return GrammarRules(
      names: maker.names, rules: maker.rules.map { $0 ?? .choice([]) }, root: root)
  }

  private init(document: JSONValue) { self.document = document }

  mutating func addRule(_ name: String, _ expression: GrammarExpression) -> Int {
    let rule = newRule(name)
    rules[rule] = expression
    return rule
  }

  private mutating func newRule(_ name: String) -> Int {
    names.append(name)
    rules.append(nil)
    return names.count - 1
  }

  /// Keywords that would narrow what is valid and are not understood.
  private static let unsupported = [
    "not", "if", "then", "else", "patternProperties", "propertyNames", "dependentRequired",
    "dependentSchemas", "dependencies", "contains", "minContains", "maxContains", "multipleOf",
    "minProperties", "maxProperties", "unevaluatedProperties", "unevaluatedItems", "$dynamicRef",
    "$recursiveRef",
  ]
  /// Keywords beside a reference that say nothing of what is valid.
  private static let annotations: Set<String> = [
    "$ref", "$schema", "$id", "$comment", "$defs", "definitions", "$anchor", "title", "description",
    "default", "examples", "deprecated", "readOnly", "writeOnly",
  ]

  // MARK: Any schema

  mutating func expression(
    _ schema: JSONValue, at path: String
  ) throws(GrammarError) -> GrammarExpression {
    depth += 1
    defer { depth -= 1 }
    guard depth <= GrammarLimits.depth else { throw GrammarError("\(path) nests too deep") }
    switch schema {
    case .bool(true): return anything()
    case .bool(false): return .choice([])
    case .object(let members):
      for keyword in Self.unsupported where schema[keyword] != nil {
        throw GrammarError("\(path)/\(keyword) is not supported")
      }
      if path != "#", schema["$id"] != nil {
        throw GrammarError(
          "\(path)/$id is not supported: a schema in a schema has no name of its own")
      }
      if let reference = schema["$ref"] {
        if let other = members.first(where: { !Self.annotations.contains($0.name) }) {
          throw GrammarError("\(path)/\(other.name) beside $ref is not supported")
        }
        return .rule(try rule(for: reference, at: path + "/$ref"))
      }
      // A rule for each schema, so that what is repeated is not written out each time.
      return .rule(addRule(path, try inline(schema, at: path)))
    default:
      throw GrammarError("\(path) must be an object, true or false")
    }
  }

  private mutating func inline(
    _ schema: JSONValue, at path: String
  ) throws(GrammarError) -> GrammarExpression {
    for keyword in ["const", "enum"] {
      guard let value = schema[keyword] else { continue }
      try refuse(beside: keyword, schema, at: path, but: ["type"])
      let values = keyword == "const" ? [value] : value.array ?? []
      guard !values.isEmpty else {
        throw GrammarError("\(path)/enum must be a list with at least one value")
      }
      let types = try types(of: schema, at: path)
      let fitting = values.filter { value in types.isEmpty || types.contains { value.is($0) } }
      return .choice(fitting.map { .text($0.text) })
    }
    for keyword in ["anyOf", "oneOf"] {
      guard let alternatives = schema[keyword] else { continue }
      try refuse(beside: keyword, schema, at: path)
      return try choice(alternatives, isExclusive: keyword == "oneOf", at: "\(path)/\(keyword)")
    }
    if let parts = schema["allOf"] {
      try refuse(beside: "allOf", schema, at: path)
      guard let parts = parts.array, parts.count == 1 else {
        throw GrammarError("\(path)/allOf is supported with one schema only")
      }
      return try expression(parts[0], at: path + "/allOf/0")
    }
    var types = try types(of: schema, at: path)
    if types.isEmpty {
      types = try impliedTypes(schema, at: path)
      if types.isEmpty { return anything() }
    }
    var alternatives: [GrammarExpression] = []
    for type in types { alternatives.append(try expression(ofType: type, schema, at: path)) }
    return alternatives.count == 1 ? alternatives[0] : .choice(alternatives)
  }

  private func refuse(
    beside keyword: String, _ schema: JSONValue, at path: String, but allowed: Set<String> = []
  ) throws(GrammarError) {
    for member in schema.members ?? []
    where member.name != keyword && !allowed.contains(member.name)
      && !Self.annotations.contains(member.name)
    {
      throw GrammarError("\(path)/\(member.name) beside \(keyword) is not supported")
    }
  }

  private func types(of schema: JSONValue, at path: String) throws(GrammarError) -> [String] {
    let known = ["object", "array", "string", "number", "integer", "boolean", "null"]
    guard let type = schema["type"] else { return [] }
    let names = type.string.map { [$0] } ?? type.array?.compactMap(\.string) ?? []
    guard !names.isEmpty, names.allSatisfy(known.contains) else {
      throw GrammarError("\(path)/type must be one or more of \(known.joined(separator: ", "))")
    }
    return names
  }

  /// Where keywords of one type stand without a type, others are valid too, but that one is meant.
  private func impliedTypes(
    _ schema: JSONValue, at path: String
  ) throws(GrammarError) -> [String] {
    let keywords = [
      ("object", ["properties", "required", "additionalProperties"]),
      ("array", ["items", "prefixItems", "minItems", "maxItems", "uniqueItems"]),
      ("string", ["pattern", "minLength", "maxLength", "format"]),
      ("number", ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"]),
    ]
    return keywords.filter { $0.1.contains { schema[$0] != nil } }.map(\.0)
  }

  private mutating func expression(
    ofType type: String, _ schema: JSONValue, at path: String
  ) throws(GrammarError) -> GrammarExpression {
    switch type {
    case "object": return try object(schema, at: path)
    case "array": return try array(schema, at: path)
    case "string": return try string(schema, at: path)
    case "integer": return try number(schema, isWhole: true, at: path)
    case "number": return try number(schema, isWhole: false, at: path)
    case "boolean": return .choice([.text("true"), .text("false")])
    default: return .text("null")
    }
  }

  /// Any document.
  private mutating func anything() -> GrammarExpression {
    let name = "any value"
    if let known = shared[name] { return .rule(known) }
    let rule = newRule(name)
    shared[name] = rule
    rules[rule] = .choice([
      map(of: .rule(rule)), list(of: .rule(rule), least: 0, most: nil), anyString, anyNumber,
      .text("true"), .text("false"), .text("null"),
    ])
    return .rule(rule)
  }

  private mutating func shared(
    _ name: String, _ expression: GrammarExpression
  ) -> GrammarExpression {
    if let known = shared[name] { return .rule(known) }
    let rule = addRule(name, expression)
    shared[name] = rule
    return .rule(rule)
  }

  var gap: GrammarExpression {
    mutating get { shared("white space", JSONExpressions.gap) }
  }

  var anyString: GrammarExpression {
    mutating get {
      shared(
        "any string",
        .sequence([.text("\""), .repeated(character, least: 0, most: nil), .text("\"")]))
    }
  }

  var anyNumber: GrammarExpression {
    mutating get { shared("any number", JSONExpressions.number) }
  }

  var anyInteger: GrammarExpression {
    mutating get { shared("any whole number", JSONExpressions.integer) }
  }

  /// A character of a string.
  var character: GrammarExpression {
    mutating get { shared("a character", JSONExpressions.character) }
  }

  private mutating func rule(
    for reference: JSONValue, at path: String
  ) throws(GrammarError) -> Int {
    guard let reference = reference.string else { throw GrammarError("\(path) must be a string") }
    if let known = references[reference] { return known }
    guard reference == "#" || reference.hasPrefix("#/") else {
      throw GrammarError(
        "\(path) is \(reference); only references into the schema itself, #/…, work")
    }
    var target = document
    for name in Self.pointer(reference) {
      let found =
        target[name]
        ?? Int(name).flatMap { index in
          target.array.flatMap { $0.indices.contains(index) ? $0[index] : nil }
        }
      guard let found else { throw GrammarError("\(path) is \(reference), which is not there") }
      target = found
    }
    let number = newRule(reference)
    references[reference] = number
    rules[number] = try expression(target, at: reference)
    return number
  }

  /// The names that a reference into the schema leads through (RFC 6901, in a URI).
  private static func pointer(_ reference: String) -> [String] {
    guard reference != "#" else { return [] }
    return reference.dropFirst(2).split(separator: "/", omittingEmptySubsequences: false).map {
      let decoded = String($0).removingPercentEncoding ?? String($0)
      return decoded.replacing("~1", with: "/").replacing("~0", with: "~")
    }
  }

  /// The most alternatives of which none may overlap.
  private static let mostExclusive = 200

  // MARK: Alternatives

  private mutating func choice(
    _ alternatives: JSONValue, isExclusive: Bool, at path: String
  ) throws(GrammarError) -> GrammarExpression {
    guard let schemas = alternatives.array, !schemas.isEmpty else {
      throw GrammarError("\(path) must be a list with at least one schema")
    }
    if isExclusive {
      guard schemas.count <= Self.mostExclusive else {
        throw GrammarError("\(path) has over \(Self.mostExclusive) schemas; use anyOf, or enum")
      }
      for (index, schema) in schemas.enumerated() {
        for other in schemas[..<index] where !areDisjoint(schema, other) {
          throw GrammarError(
            "\(path) has schemas of which one document may fit two; give them different types, or "
              + "a required member with a different const, or use anyOf")
        }
      }
    }
    var expressions: [GrammarExpression] = []
    for (index, schema) in schemas.enumerated() {
      expressions.append(try expression(schema, at: "\(path)/\(index)"))
    }
    return .choice(expressions)
  }

  /// Whether surely no document is valid under both.
  private func areDisjoint(_ one: JSONValue, _ other: JSONValue) -> Bool {
    let (first, second) = (resolved(one), resolved(other))
    let (values, otherValues) = (first.values, second.values)
    if let values, let otherValues { return areDisjoint(values, otherValues) }
    let (types, otherTypes) = (first.typeNames, second.typeNames)
    if !types.isEmpty, !otherTypes.isEmpty {
      // Whole numbers are numbers, too.
      let wide = { (names: [String]) in Set(names.map { $0 == "integer" ? "number" : $0 }) }
      if wide(types).isDisjoint(with: wide(otherTypes)) { return true }
    }
    let required = { (schema: JSONValue) in
      Set(schema["required"]?.array?.compactMap(\.string) ?? [])
    }
    guard types == ["object"], otherTypes == ["object"] else { return false }
    return required(first).intersection(required(second)).contains { name in
      guard let left = first["properties"]?[name].map(resolved)?.values,
        let right = second["properties"]?[name].map(resolved)?.values
      else { return false }
      return areDisjoint(left, right)
    }
  }

  private func areDisjoint(_ some: [JSONValue], _ others: [JSONValue]) -> Bool {
    let bytes = { (values: [JSONValue]) in Set(values.map { Array($0.canonical.utf8) }) }
    return bytes(some).isDisjoint(with: bytes(others))
  }

  private func resolved(_ schema: JSONValue) -> JSONValue {
    guard let reference = schema["$ref"]?.string, reference.hasPrefix("#/") else { return schema }
    return Self.pointer(reference).reduce(document) { target, name in target[name] ?? .null }
  }
}

extension JSONValue {
  /// Whether a value is of a type of JSON Schema.
  fileprivate func `is`(_ type: String) -> Bool {
    switch self {
    case .null: type == "null"
    case .bool: type == "boolean"
    case .string: type == "string"
    case .array: type == "array"
    case .object: type == "object"
    case .number: type == "number" || type == "integer" && integer != nil
    }
  }

  /// The only values that a schema allows, where it names them.
  fileprivate var values: [JSONValue]? { self["const"].map { [$0] } ?? self["enum"]?.array }

  fileprivate var typeNames: [String] {
    if let values {
      return values.map { value in
        ["null", "boolean", "string", "array", "object", "number"].first { value.is($0) } ?? "null"
      }
    }
    return self["type"]?.string.map { [$0] } ?? self["type"]?.array?.compactMap(\.string) ?? []
  }
}
