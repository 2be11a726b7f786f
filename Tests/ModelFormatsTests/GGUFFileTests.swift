import Foundation
import ModelFormats
import Testing

@Suite("A GGUF file")
struct GGUFFileTests {
  let folder: TemporaryFolder
  let file: GGUFFile

  init() throws {
    folder = try TemporaryFolder()
    try ModelFixture.writer().write(to: folder.path("model.gguf"))
    file = try GGUFFile(path: folder.path("model.gguf"))
  }

  @Test("gives back every metadata value that was written, in order")
  func metadataRoundTrip() throws {
    #expect(file.metadata == GGUFMetadata(ModelFixture.metadata))
    #expect(file.metadata.keys == ModelFixture.metadata.map(\.key))
    #expect(file.version == 3)
    #expect(file.alignment == 64)
  }

  @Test("gives back values of every type", arguments: GGUFFileTests.everyType)
  func valueTypes(_ value: GGUFValue) throws {
    let path = folder.path("types.gguf")
    try GGUFWriter(metadata: ["key": value]).write(to: path)
    #expect(try GGUFFile(path: path).metadata["key"] == value)
  }

  static let everyType: [GGUFValue] = [
    .uint8(200), .int8(-100), .uint16(60_000), .int16(-30_000), .uint32(4_000_000_000),
    .int32(-2_000_000_000), .float32(1.5), .bool(true), .bool(false), .string("ein Stück ½"),
    .uint64(.max), .int64(.min), .float64(-0.1), .string(""),
    .array(.uint8([1, 255])), .array(.int8([-1])), .array(.uint16([1])), .array(.int16([-1])),
    .array(.uint32([1])), .array(.int32([-1])), .array(.float32([0.5])), .array(.bool([true])),
    .array(.string(["a", "", "\u{65}\u{301}"])), .array(.uint64([.max])), .array(.int64([.min])),
    .array(.float64([2])), .array(.string([])), .array(.array([.array([.uint8([7])])])),
  ]

  @Test("places tensors at aligned offsets and gives their bytes")
  func tensors() throws {
    #expect(
      file.tensors.map(\.name) == [
        "token_embd.weight", "output_norm.weight", "blk.0.attn_q.weight",
      ])
    let embedding = try file.tensor(named: "token_embd.weight")
    #expect(embedding.shape == [8, 5])
    #expect(embedding.elementCount == 40)
    #expect(embedding.byteCount == 160)
    let floats = file.withBytes(of: embedding) { Array($0.bindMemory(to: Float.self)) }
    #expect(floats == (0..<40).map { Float($0) })
    let quantized = try file.tensor(named: "blk.0.attn_q.weight")
    #expect(quantized.type == .q8_0)
    #expect(Array(file.bytes(of: quantized)) == (0..<102).map { UInt8($0) })
    for tensor in file.tensors { #expect(tensor.fileOffset % 64 == 0) }
    #expect(file.tensorIfPresent(named: "output.weight") == nil)
    #expect(code { _ = try file.tensor(named: "output.weight") } == .missingKey)
  }

  @Test("has a fingerprint that is the SHA-256 of its bytes")
  func fingerprint() throws {
    // printf 'GGUF\3\0\0\0' and sixteen zero bytes | sha256sum
    let header: [UInt8] = Array("GGUF".utf8) + [3, 0, 0, 0] + Array(repeating: 0, count: 16)
    let empty = try GGUFFile(path: folder.file(header, named: "empty.gguf"))
    #expect(
      empty.computeFingerprint()
        == "a4e5e156ddec27e286f75328784d7106b60a4eb1d246e950a001a3f944fbda99")
    #expect(empty.computeFingerprint() == empty.computeFingerprint())
    #expect(empty.computeFingerprint() != file.computeFingerprint())
  }

  @Test("tells whether it was written to since it was opened")
  func changed() throws {
    let path = folder.path("model.gguf")
    try file.checkUnchanged()
    let moment = Date(timeIntervalSince1970: 1_000_000_000)
    try FileManager.default.setAttributes([.modificationDate: moment], ofItemAtPath: path)
    #expect(code { try file.checkUnchanged() } == .fileChanged)
    let again = try GGUFFile(path: path)
    let handle = try #require(FileHandle(forWritingAtPath: path))
    try handle.seekToEnd()
    try handle.write(contentsOf: Data([0]))
    try FileManager.default.setAttributes([.modificationDate: moment], ofItemAtPath: path)
    #expect(code { try again.checkUnchanged() } == .fileChanged)
    // A file that is renamed over it is another one.
    let old = try GGUFFile(path: path)
    try ModelFixture.writer().write(to: path)
    try old.checkUnchanged()
  }

  @Test("sums itself up")
  func summary() {
    let summary = file.summary
    #expect(summary.architecture == "llama")
    #expect(summary.name == "tiny")
    #expect(summary.tensors == 3)
    #expect(summary.parameters == 40 + 8 + 96)
    #expect(summary.tensorBytes == 160 + 32 + 102)
    #expect(summary.types.map(\.type) == ["F32", "Q8_0"])
    #expect(summary.types.map(\.bytes) == [192, 102])
    #expect(summary.fileBytes == file.byteCount)
  }

  @Test("version 2 is read as version 3 is")
  func versionTwo() throws {
    var bytes = try ModelFixture.writer().serialized()
    bytes[4] = 2
    let old = try GGUFFile(path: folder.file(bytes, named: "v2.gguf"))
    #expect(old.version == 2)
    #expect(old.metadata == file.metadata)
    #expect(old.tensors == file.tensors)
  }
}

/// The code of the error that `body` throws, or nil.
func code(_ body: () throws -> Void) -> ModelFormatError.Code? {
  do {
    try body()
    return nil
  } catch {
    return (error as? ModelFormatError)?.code
  }
}
