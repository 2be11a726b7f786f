import Foundation
import ModelFormats
import TestModels
import Testing

@Suite("A damaged GGUF file")
struct FuzzTests {
  static let rounds = 2_000
  static let conformance = ProcessInfo.processInfo.environment["MILLRACE_CONFORMANCE"]

  @Test("gives an error or a valid parse, never a crash")
  func fixture() throws {
    let bytes = try ModelFixture.writer().serialized()
    let outcome = try fuzz(bytes, directoryBytes: bytes.count, name: "fixture")
    #expect(outcome.refused > Self.rounds / 4)
    #expect(outcome.read > 0)
  }

  @Test("of a real model gives an error or a valid parse", .enabled(if: conformance != nil))
  func realModel() throws {
    let folder = try #require(Self.conformance)
    let path = "\(folder)/stories260K.gguf"
    let whole = try Data(contentsOf: URL(fileURLWithPath: path))
    let directoryBytes = try GGUFFile(path: path).dataOffset
    let outcome = try fuzz(Array(whole), directoryBytes: directoryBytes, name: "stories260K")
    #expect(outcome.refused > Self.rounds / 4)
    #expect(outcome.read > 0)
  }

  /// Damages the file again and again; only the part before the tensors and the length matter, so
  /// the rest is left as a hole.
  private func fuzz(
    _ original: [UInt8], directoryBytes: Int, name: String
  ) throws -> (refused: Int, read: Int) {
    var generator = SeededGenerator.announced("fuzz of \(name)")
    let folder = try TemporaryFolder()
    let head = Array(original.prefix(directoryBytes))
    var outcome = (refused: 0, read: 0)
    for round in 0..<Self.rounds {
      var bytes = head
      var length = original.count
      switch round == 0 ? 0 : Int.random(in: 1...10, using: &generator) {
      case 0: (bytes, length) = ([], 0)
      case 1, 2:
        length = Int.random(in: 0..<original.count, using: &generator)
        bytes = Array(bytes.prefix(length))
      case 3...6: FileDamage.flipBits(&bytes, in: bytes.indices, &generator)
      default: FileDamage.patchNumbers(&bytes, in: bytes.indices, &generator)
      }
      let path = try folder.file(bytes)
      try #require(truncate(path, length) == 0)
      do {
        try use(try GGUFFile(path: path))
        outcome.read += 1
      } catch let error as ModelFormatError {
        #expect(!error.message.isEmpty)
        outcome.refused += 1
      }
    }
    return outcome
  }

  /// What a program does with a file that opened: touches every tensor, reads what it describes.
  private func use(_ file: GGUFFile) throws {
    for tensor in file.tensors {
      let bytes = file.bytes(of: tensor)
      #expect(bytes.count == tensor.byteCount)
      #expect(UInt(bytes.first ?? 0) + UInt(bytes.last ?? 0) <= 510)
    }
    #expect(file.summary.tensors == file.tensors.count)
    let configuration = try ModelConfiguration(file)
    #expect(configuration.attentionHeads % configuration.keyValueHeads == 0)
    _ = try GGUFVocabulary(file.metadata)
  }
}
