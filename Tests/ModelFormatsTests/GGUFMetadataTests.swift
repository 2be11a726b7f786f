import ModelFormats
import Testing

@Suite("GGUF metadata")
struct GGUFMetadataTests {
  let metadata: GGUFMetadata = GGUFMetadata([
    "text": .string("x"), "small": .uint16(7), "large": .uint64(.max), "negative": .int32(-1),
    "double": .float64(0.5), "flag": .bool(true), "ids": .array(.uint32([1, 2])),
    "big ids": .array(.uint32([.max])),
  ])

  @Test("gives values as the types that fit them")
  func getters() throws {
    #expect(try metadata.string("text") == "x")
    #expect(try metadata.uint32("small") == 7)
    #expect(try metadata.int("negative") == -1)
    #expect(try metadata.float32("double") == 0.5)
    #expect(try metadata.bool("flag"))
    #expect(try metadata.int32s("ids") == [1, 2])
    #expect(try metadata.optional("absent", as: String.self) == nil)
  }

  @Test("names key, found and expected type where they differ")
  func wrongType() throws {
    let error = #expect(throws: ModelFormatError.self) { try metadata.uint32("text") }
    #expect(error?.code == .wrongType)
    #expect(error?.message.contains("'text' holds string") == true)
    #expect(error?.message.contains("whole number") == true)
  }

  @Test("refuses numbers that do not fit")
  func range() {
    #expect(code { _ = try metadata.uint32("negative") } == .wrongType)
    #expect(code { _ = try metadata.int("large") } == .wrongType)
    #expect(code { _ = try metadata.int32s("big ids") } == .wrongType)
    #expect(code { _ = try metadata.strings("ids") } == .wrongType)
    #expect(code { _ = try metadata.floats("ids") } == .wrongType)
    #expect(code { _ = try metadata.optional("text", as: Bool.self) } == .wrongType)
  }

  @Test("names a key that is missing")
  func missing() {
    let error = #expect(throws: ModelFormatError.self) { try metadata.string("general.name") }
    #expect(error?.code == .missingKey)
    #expect(error?.message.contains("general.name") == true)
  }

  @Test("keeps the order of keys when values are replaced and removed")
  func order() {
    var changed = metadata
    changed["text"] = .string("y")
    changed["small"] = nil
    changed["new"] = .bool(false)
    #expect(changed.keys.first == "text")
    #expect(changed.keys.last == "new")
    #expect(!changed.keys.contains("small"))
    #expect(changed.count == metadata.count)
  }
}
