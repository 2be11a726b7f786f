import ModelFormats
import Testing

@Suite("Text of a file in a message")
struct QuotedTextTests {
  @Test("is what it is where it is plain")
  func plain() {
    #expect(quoted("blk.0.attn_q.weight") == "'blk.0.attn_q.weight'")
    #expect(quoted("ein Stück ½ 木") == "'ein Stück ½ 木'")
    #expect(quoted(String(repeating: "é", count: 80)) == "'\(String(repeating: "é", count: 80))'")
  }

  @Test("is cut to 80 scalars, whatever one character is made of")
  func cut() {
    #expect(quoted(String(repeating: "x", count: 81)) == "'\(String(repeating: "x", count: 80))…'")
    let tower = "e" + String(repeating: "\u{301}", count: 1_000_000)
    #expect(quoted(tower).unicodeScalars.count == 83)
  }

  @Test(
    "steers no terminal",
    arguments: [
      "\u{1B}", "\r", "\n", "\u{0}", "\u{7F}", "\u{9B}", "\u{202E}", "\u{2066}", "\u{200F}",
      "\u{061C}", "\u{2028}",
    ])
  func harmless(_ text: String) {
    #expect(quoted("a\(text)b") == "'a\u{FFFD}b'")
  }

  @Test("is quoted in every error that shows it", arguments: hostileFiles)
  func errors(name: String, bytes: [UInt8]) throws {
    let folder = try TemporaryFolder()
    let path = try folder.file(bytes)
    let error = #expect(throws: ModelFormatError.self) {
      _ = try ModelConfiguration(GGUFFile(path: path))
    }
    let message = try #require(error?.message)
    #expect(message.contains("\u{FFFD}"), "\(message)")
    #expect(!message.contains("\u{1B}") && message.count < 400)
  }

  /// Files that are wrong in something that has a name, which is long and holds an escape.
  static let hostileFiles: [(name: String, bytes: [UInt8])] = {
    let key = "\u{1B}[31m" + String(repeating: "k", count: 9_000)
    let keyBytes = number(UInt64(key.utf8.count)) + Array(key.utf8)
    let tensor = "\u{1B}[31mtensor"
    let tensorBytes = number(UInt64(tensor.utf8.count)) + Array(tensor.utf8)
    func file(tensors: UInt64 = 0, keys: UInt64, _ rest: [UInt8]) -> [UInt8] {
      Array("GGUF".utf8) + number(UInt32(3)) + number(tensors) + number(keys) + rest
        + [UInt8](repeating: 0, count: 64)
    }
    let scalar = keyBytes + number(UInt32(0)) + [1]
    let place = number(UInt32(1)) + number(UInt64(4)) + number(UInt32(0)) + number(UInt64(0))
    var architecture = GGUFWriter(metadata: ModelFixture.metadata)
    architecture.metadata["general.architecture"] = .string(key)
    var scaling = GGUFWriter(metadata: ModelFixture.metadata)
    scaling.metadata["llama.rope.scaling.type"] = .string(key)
    return [
      ("a value type", file(keys: 1, keyBytes + number(UInt32(99)))),
      ("a bool", file(keys: 1, keyBytes + number(UInt32(7)) + [2])),
      ("a string", file(keys: 1, keyBytes + number(UInt32(8)) + number(UInt64.max))),
      (
        "an array",
        file(keys: 1, keyBytes + number(UInt32(9)) + number(UInt32(4)) + number(UInt64.max))
      ),
      ("a repeated key", file(keys: 2, scalar + scalar)),
      ("dimensions", file(tensors: 1, keys: 0, tensorBytes + number(UInt32(9)))),
      ("a repeated tensor", file(tensors: 2, keys: 0, tensorBytes + place + tensorBytes + place)),
      ("an architecture", (try? architecture.serialized()) ?? []),
      ("a scaling", (try? scaling.serialized()) ?? []),
    ]
  }()

  private static func number<Number: BitwiseCopyable>(_ value: Number) -> [UInt8] {
    withUnsafeBytes(of: value) { Array($0) }
  }
}
