import ModelFormats
import Testing

@Suite("A GGUF writer")
struct GGUFWriterTests {
  @Test("refuses tensors that the format cannot hold")
  func refuses() throws {
    var writer = try ModelFixture.writer()
    func add(_ name: String, _ shape: [Int], _ type: GGUFTensorType, _ count: Int) {
      let bytes = [UInt8](repeating: 0, count: count)
      #expect(throws: ModelFormatError.self) {
        try writer.addTensor(name, shape: shape, type: type, bytes: bytes)
      }
    }
    add("", [1], .f32, 4)
    add(String(repeating: "n", count: 65), [1], .f32, 4)
    add("output_norm.weight", [1], .f32, 4)
    add("x", [], .f32, 4)
    add("x", [1, 1, 1, 1, 1], .f32, 4)
    add("x", [-1], .f32, 4)
    add("x", [2], .f32, 4)
    add("x", [16], .q8_0, 17)
  }

  @Test("refuses an alignment that is no power of two")
  func alignment() {
    let writer = GGUFWriter(metadata: ["general.alignment": .uint32(12)])
    #expect(code { _ = try writer.serialized() } == .invalidValue)
  }

  @Test("says where a file cannot be written")
  func unwritable() throws {
    let folder = try TemporaryFolder()
    let path = folder.path("none/model.gguf")
    let error = #expect(throws: ModelFormatError.self) {
      try GGUFWriter(metadata: [:]).write(to: path)
    }
    #expect(error?.code == .fileUnreadable)
    #expect(error?.path == path)
  }

  @Test("and reader agree on every tensor type", arguments: GGUFTensorType.allCases)
  func tensorTypes(_ type: GGUFTensorType) throws {
    let folder = try TemporaryFolder()
    let shape = [type.blockElements * 2, 3]
    let bytes = (0..<type.blockBytes * 6).map { UInt8(truncatingIfNeeded: $0) }
    var writer = GGUFWriter()
    try writer.addTensor("t", shape: shape, type: type, bytes: bytes)
    try writer.write(to: folder.path("t.gguf"))
    let file = try GGUFFile(path: folder.path("t.gguf"))
    let tensor = try file.tensor(named: "t")
    #expect(tensor.type == type)
    #expect(tensor.shape == shape)
    #expect(Array(file.bytes(of: tensor)) == bytes)
  }
}
