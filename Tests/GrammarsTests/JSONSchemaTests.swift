import Foundation
import Grammars
import TestModels
import Testing

@Suite("JSON schemas")
struct JSONSchemaTests {
  /// Documents that come out of a schema and such as do not.
  struct Case: Sendable {
    var schema: String
    var valid: [String]
    var invalid: [String]
  }

  static let cases: [Case] = [
    Case(
      schema: #"{"type": "integer"}"#, valid: ["0", "-5", "123456"],
      invalid: ["", "01", "1.5", "+1", "\"1\"", "1e3"]),
    Case(
      schema: #"{"type": "number"}"#, valid: ["0", "-0.25", "1e10", "12.5E-3"],
      invalid: [".5", "1.", "01", "1e", "NaN", "1e1000"]),
    Case(
      schema: #"{"type": ["boolean", "null"]}"#, valid: ["true", "null"], invalid: ["0", "nul"]),
    Case(
      schema: #"{"type": "string"}"#,
      valid: [#""""#, #""a é 😀""#, #""\n\"\\\u00e9\uABCD""#],
      invalid: [#"""#, #""\x""#, "\"\n\"", #""\ud800""#, #""a"b""#]),
    Case(
      schema: #"{"type": "string", "minLength": 2, "maxLength": 3}"#,
      valid: [#""ab""#, #""é😀\n""#], invalid: [#""a""#, #""abcd""#]),
    Case(
      schema: #"{"type": "string", "pattern": "^[A-Z]{2}-\\d+(\\.[a-f\"]+)?$"}"#,
      valid: [#""AB-1""#, #""XY-123.abc""#, #""XY-1.\"a""#],
      invalid: [#""ab-1""#, #""AB-""#, #""AB-1.""#, #""xAB-1""#]),
    Case(
      schema: #"{"type": "string", "pattern": "b+c"}"#, valid: [#""abbcd""#, #""bc""#],
      invalid: [#""ac""#, #""b""#]),
    Case(
      schema: #"{"type": "string", "format": "date-time"}"#,
      valid: [#""2024-02-28T23:59:59Z""#, #""2024-12-31T00:00:00.5+01:30""#],
      invalid: [#""2024-02-30T00:00:00Z""#, #""2024-13-01T00:00:00Z""#, #""2024-01-01""#]),
    Case(
      schema: #"{"enum": ["a\"b", 1, null, {"x": [1, 2]}]}"#,
      valid: [#""a\"b""#, "1", "null", #"{"x":[1,2]}"#], invalid: ["2", #""a""#, "{}"]),
    Case(schema: #"{"const": "only"}"#, valid: [#""only""#], invalid: [#""other""#]),
    Case(
      schema: #"{"type": "integer", "minimum": -12, "exclusiveMaximum": 105}"#,
      valid: ["-12", "-1", "0", "9", "10", "99", "104"],
      invalid: ["-13", "105", "1000", "-99", "007"]),
    Case(
      schema: #"{"type": "number", "exclusiveMinimum": 0, "maximum": 2}"#,
      valid: ["0.5", "1", "1.999", "2"], invalid: ["0", "0.0", "2.5", "-1", "3"]),
    Case(
      schema: #"{"type": "number", "minimum": -2, "maximum": -1}"#,
      valid: ["-2", "-1", "-1.5"], invalid: ["-2.5", "-0.5", "0", "1.5"]),
    Case(
      schema: #"""
        {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "boolean"},
         "c": {"const": 1}}, "required": ["b"], "additionalProperties": false}
        """#,
      valid: [
        #"{"b":true}"#, #"{"a":1,"b":false}"#, #"{"a": 1, "b": true, "c": 1}"#,
        "{\n  \"b\": true,\n  \"c\": 1\n}",
      ], invalid: ["{}", #"{"a":1}"#, #"{"b":true,"a":1}"#, #"{"b":true,"d":1}"#, #"{"b":true,}"#]),
    Case(
      schema: #"{"type": "object", "properties": {"a": {}, "b": {}}}"#,
      valid: ["{}", #"{"a":[null]}"#, #"{"b":{"x":1}}"#, #"{"a":1,"b":2}"#], invalid: [#"{,"b":1}"#]
    ),
    Case(
      schema: #"{"type": "object", "additionalProperties": {"type": "integer"}}"#,
      valid: ["{}", #"{"x":1,"y z":2}"#], invalid: [#"{"x":"1"}"#, #"{x:1}"#]),
    Case(
      schema: #"{"type": "object", "required": ["k"]}"#, valid: [#"{"k":[1]}"#], invalid: ["{}"]),
    Case(
      schema: #"{"type": "array", "items": {"type": "integer"}, "minItems": 1, "maxItems": 3}"#,
      valid: ["[1]", "[1, 2,3]"], invalid: ["[]", "[1,2,3,4]", "[1,]", #"["1"]"#]),
    Case(
      schema: #"{"prefixItems": [{"type": "string"}, {"type": "integer"}], "items": false}"#,
      valid: [#"["a",1]"#], invalid: [#"[1,"a"]"#, #"["a",1,2]"#]),
    Case(
      schema: #"{"anyOf": [{"type": "integer"}, {"type": "string", "maxLength": 1}]}"#,
      valid: ["12", #""x""#], invalid: [#""xy""#, "true"]),
    Case(
      schema: #"""
        {"oneOf": [{"type": "object", "properties": {"kind": {"const": "a"}, "n": {"type": "integer"}},
         "required": ["kind", "n"]}, {"type": "object", "properties": {"kind": {"const": "b"}},
         "required": ["kind"]}]}
        """#,
      valid: [#"{"kind":"a","n":1}"#, #"{"kind":"b"}"#],
      invalid: [#"{"kind":"a"}"#, #"{"kind":"c"}"#]),
    Case(
      schema: #"""
        {"$defs": {"tree": {"type": "object", "properties": {"v": {"type": "integer"}, "children":
         {"type": "array", "items": {"$ref": "#/$defs/tree"}}}, "required": ["v", "children"],
         "additionalProperties": false}}, "$ref": "#/$defs/tree"}
        """#,
      valid: [#"{"v":1,"children":[]}"#, #"{"v":1,"children":[{"v":2,"children":[]}]}"#],
      invalid: [#"{"v":1}"#, #"{"v":1,"children":[1]}"#]),
    Case(
      schema: #"{"type": "string", "const": "5"}"#, valid: [#""5""#], invalid: ["5"]),
    Case(schema: #"{"type": ["null", "integer"], "const": null}"#, valid: ["null"], invalid: ["1"]),
    Case(
      schema: #"{"type": "integer", "enum": [1, "a", 2.5, 3.0]}"#, valid: ["1", "3.0"],
      invalid: [#""a""#, "2.5"]),
    Case(
      schema: #"{"type": "string", "pattern": "^[^\\s]\\S$"}"#, valid: [#""ab""#, #""é!""#],
      invalid: ["\"a\u{A0}\"", "\"\u{A0}a\"", #""a b""#]),
    Case(
      schema: ##"{"$ref": "#/$defs/a%20b~1", "$defs": {"a b/": {"type": "null"}, "": true}}"##,
      valid: ["null"], invalid: ["1"]),
    Case(
      schema: "{\"properties\": {\"\u{E9}\": {\"type\": \"null\"}}, \"required\": [\"e\u{301}\"]}",
      valid: ["{\"\u{E9}\":null,\"e\u{301}\":1}", "{\"e\u{301}\":1}"],
      invalid: ["{\"\u{E9}\":null}"]),
    Case(schema: "true", valid: ["null", #"{"a":[1,{"b":"c"}]}"#], invalid: ["", "[1", "nil"]),
    Case(schema: "{}", valid: ["-1", "[]"], invalid: ["[,]"]),
  ]

  @Test("Valid documents are taken and others are not", arguments: cases)
  func documents(example: Case) throws {
    let grammar = try Grammar(jsonSchema: example.schema, tokens: Pieces.trie)
    for text in example.valid {
      #expect(Pieces.accepts(grammar, text), "\(example.schema): \(text)")
    }
    for text in example.invalid {
      #expect(!Pieces.accepts(grammar, text), "\(example.schema): \(text)")
    }
  }

  @Test("Bounds of whole numbers are kept, over random ones")
  func bounds() throws {
    var numbers = SeededNumbers(seed: 4)
    for _ in 0..<150 {
      let size = [9, 99, 1_200, 1_000_000][Int.random(in: 0..<4, using: &numbers)]
      let ends = (0..<2).map { _ in Int.random(in: -size...size, using: &numbers) }.sorted()
      let grammar = try Grammar(
        jsonSchema: #"{"type": "integer", "minimum": \#(ends[0]), "maximum": \#(ends[1])}"#,
        tokens: Pieces.trie)
      let probes =
        ends + [ends[0] - 1, ends[1] + 1, 0]
        + (0..<20).map { _ in Int.random(in: -2 * size...2 * size, using: &numbers) }
      for probe in probes {
        #expect(
          Pieces.accepts(grammar, "\(probe)") == (ends[0]...ends[1]).contains(probe),
          "\(ends): \(probe)")
      }
    }
  }

  @Test(
    "What is not supported, or is no schema, is refused by name and place",
    arguments: [
      ("{", "not JSON"), ("[1]", "must be an object"), (#"{"type": "text"}"#, "#/type must be one"),
      (#"{"not": {}}"#, "#/not is not supported"),
      (#"{"properties": {"a": {"multipleOf": 2}}}"#, "#/properties/a/multipleOf"),
      (#"{"type": "array", "uniqueItems": true}"#, "#/uniqueItems"),
      (#"{"$ref": "other.json"}"#, "#/$ref"), (##"{"$ref": "#/$defs/x"}"##, "which is not there"),
      (#"{"pattern": "(?=x)"}"#, "lookaround"), (#"{"pattern": "["}"#, "] is missing"),
      (#"{"enum": []}"#, "#/enum"), (#"{"minLength": -1}"#, "#/minLength"),
      (#"{"minimum": 0.5}"#, "#/minimum"), ("false", "no text fits"),
      (#"{"type": "integer", "minimum": 5, "maximum": 4}"#, "no text fits"),
      (#"{"oneOf": [{"type": "integer"}, {"type": "number"}]}"#, "may fit two"),
      (##"{"$ref": "#"}"##, "begin with itself"),
      (
        ##"{"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]}"##,
        "no text fits"
      ),
      (#"{"a": 1, "a": 2}"#, "occurs twice"),
      (#"{"type": "integer", "minimum": -9223372036854775808}"#, "#/minimum"),
      (#"{"enum": [1, 2, 3], "minimum": 2}"#, "#/minimum beside enum"),
      (#"{"const": 1, "enum": [2]}"#, "beside const"),
      (#"{"oneOf": [{"const": 1}, {"const": 1.0}]}"#, "may fit two"),
      (#"{"oneOf": [{"const": {"a": 1, "b": 2}}, {"const": {"b": 2, "a": 1}}]}"#, "may fit two"),
      (#"{"properties": {"a": {"$id": "x"}}}"#, "#/properties/a/$id"),
      (#"{"title": "\u+041"}"#, "hexadecimal"), ("{\"title\": \"\\ud800\"}", "surrogate"),
    ])
  func refusals(schema: String, message: String) {
    let error = #expect(throws: GrammarError.self) {
      _ = try Grammar(jsonSchema: schema, tokens: Pieces.trie)
    }
    #expect(error?.message.contains(message) == true, "\(error?.message ?? "")")
  }

  @Test("Random texts of a schema parse, and are as short as there is room")
  func random() throws {
    var numbers = SeededNumbers(seed: 6)
    for example in Self.cases {
      let grammar = try Grammar(jsonSchema: example.schema, tokens: Pieces.trie)
      for _ in 0..<20 {
        let room = grammar.leastBytes + Int.random(in: 0...60, using: &numbers)
        var cursor = grammar.start
        var text: [UInt8] = []
        for left in stride(from: room, to: 0, by: -1) {
          let mask = grammar.mask(&cursor, room: left)
          if mask.mayEnd, Bool.random(using: &numbers) { break }
          let allowed = Pieces.bytes.indices.filter { mask.contains(Int32($0)) }
          guard let token = allowed.randomElement(using: &numbers) else { break }
          #expect(grammar.advance(&cursor, Pieces.bytes[token]))
          text += Pieces.bytes[token]
        }
        #expect(grammar.mask(&cursor).mayEnd)
        #expect(
          throws: Never.self, "\(example.schema): \(String(decoding: text, as: UTF8.self))"
        ) {
          try JSONSerialization.jsonObject(with: Data(text), options: .fragmentsAllowed)
        }
      }
    }
  }
}
