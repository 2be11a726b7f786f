import Foundation
import ModelFormats
import Testing

@Suite("A hostile GGUF file")
struct HostileFileTests {
  /// A file that breaks one rule: the bytes, and what must be said of them.
  struct Case: CustomTestStringConvertible, Sendable {
    let name: String
    let bytes: [UInt8]
    let code: ModelFormatError.Code
    let offset: Int?
    var testDescription: String { name }
  }

  @Test("is refused with the place of the first wrong value", arguments: HostileFileTests.cases)
  func refused(_ hostile: Case) throws {
    let folder = try TemporaryFolder()
    let path = try folder.file(hostile.bytes)
    let error = #expect(throws: ModelFormatError.self) { try GGUFFile(path: path) }
    #expect(error?.code == hostile.code)
    #expect(error?.byteOffset == hostile.offset)
    #expect(error?.path == path)
  }

  @Test("cut short anywhere before the end of its tensors is refused")
  func truncated() throws {
    let folder = try TemporaryFolder()
    let bytes = try ModelFixture.writer().serialized()
    // Behind the last tensor's 102 bytes comes padding, which a file may lack.
    let needed = bytes.count - 26
    for count in stride(from: 0, to: needed, by: 7) {
      let path = try folder.file(Array(bytes.prefix(count)))
      #expect(throws: ModelFormatError.self) { try GGUFFile(path: path) }
    }
    let whole = try folder.file(Array(bytes.prefix(needed)))
    #expect(try GGUFFile(path: whole).tensors.count == 3)
  }

  @Test("path that names no readable file is refused")
  func paths() throws {
    let folder = try TemporaryFolder()
    #expect(code { _ = try GGUFFile(path: folder.path("none.gguf")) } == .fileNotFound)
    #expect(code { _ = try GGUFFile(path: folder.url.path) } == .notARegularFile)
    #expect(code { _ = try GGUFFile(path: "/dev/null") } == .notARegularFile)
    #expect(code { _ = try GGUFFile(path: "") } == .fileNotFound)
    #expect(code { _ = try GGUFFile(path: "a\u{0}b") } == .fileNotFound)
    let pipe = folder.path("pipe")
    try #require(mkfifo(pipe, 0o600) == 0)
    #expect(code { _ = try GGUFFile(path: pipe) } == .notARegularFile)
  }

  static let cases: [Case] = headerCases + metadataCases + tensorCases

  private static let headerCases = [
    Case(name: "no bytes", bytes: [], code: .emptyFile, offset: 0),
    Case(name: "three bytes", bytes: Array("GGU".utf8), code: .truncated, offset: 0),
    Case(name: "another magic", bytes: Array("GGML0000".utf8), code: .badMagic, offset: 0),
    Case(name: "version 1", bytes: header(version: 1), code: .unsupportedVersion, offset: 4),
    Case(
      name: "big-endian", bytes: header(version: UInt32(3).byteSwapped),
      code: .unsupportedVersion, offset: 4),
    Case(
      name: "2^60 tensors", bytes: header(tensors: 1 << 60), code: .limitExceeded, offset: 8),
    Case(
      name: "2^60 keys", bytes: header(keys: 1 << 60), code: .limitExceeded, offset: 16),
    Case(name: "keys beyond the end", bytes: header(keys: 9), code: .truncated, offset: 16),
    Case(name: "tensors beyond the end", bytes: header(tensors: 9), code: .truncated, offset: 8),
  ]

  private static let metadataCases = [
    Case(
      name: "a key of 2^60 bytes", bytes: header(keys: 1) + number(UInt64(1) << 60) + filler,
      code: .limitExceeded, offset: 24),
    Case(
      name: "a key beyond the end", bytes: header(keys: 1) + number(UInt64(900)) + filler,
      code: .truncated, offset: 32),
    Case(
      name: "an empty key", bytes: header(keys: 1) + text("") + filler, code: .malformed,
      offset: 24),
    Case(
      name: "an unknown value type",
      bytes: header(keys: 1) + text("k") + number(UInt32(13)) + filler,
      code: .malformed, offset: 33),
    Case(
      name: "a string of 2^63 bytes",
      bytes: header(keys: 1) + text("k") + number(UInt32(8)) + number(UInt64(1) << 63) + filler,
      code: .limitExceeded, offset: 37),
    Case(
      name: "a string that is not UTF-8",
      bytes: header(keys: 1) + text("k") + number(UInt32(8)) + number(UInt64(1)) + [0xFF] + filler,
      code: .malformed, offset: 45),
    Case(
      name: "a bool of 2", bytes: header(keys: 1) + text("k") + number(UInt32(7)) + [2] + filler,
      code: .malformed, offset: 37),
    Case(
      name: "an array of 2^60 strings",
      bytes: header(keys: 1) + text("k") + array(of: 8, count: 1 << 60) + filler,
      code: .limitExceeded, offset: 41),
    Case(
      name: "an array beyond the end",
      bytes: header(keys: 1) + text("k") + array(of: 12, count: 1 << 20) + filler,
      code: .truncated, offset: 41),
    Case(
      name: "arrays nested too deep",
      bytes: header(keys: 1) + text("k") + array(of: 9, count: 1) + number(UInt32(9))
        + number(UInt64(1)) + number(UInt32(9)) + number(UInt64(1)) + number(UInt32(9))
        + number(UInt64(1)) + number(UInt32(0)) + number(UInt64(1)) + filler,
      code: .limitExceeded, offset: 85),
    Case(
      name: "a key that occurs twice",
      bytes: header(keys: 2) + text("k") + number(UInt32(0)) + [1] + text("k") + number(UInt32(0))
        + [1] + filler, code: .duplicateName, offset: 38),
    Case(
      name: "an alignment of 48",
      bytes: header(keys: 1) + text("general.alignment") + number(UInt32(4)) + number(UInt32(48)),
      code: .invalidValue, offset: nil),
    Case(
      name: "an alignment that is a string",
      bytes: header(keys: 1) + text("general.alignment") + number(UInt32(8)) + text("x"),
      code: .wrongType, offset: nil),
  ]

  private static let tensorCases = [
    Case(
      name: "a tensor name that is too long",
      bytes: header(tensors: 1) + text(String(repeating: "n", count: 65)) + filler,
      code: .limitExceeded, offset: 24),
    Case(
      name: "no dimensions", bytes: header(tensors: 1) + tensor([]), code: .malformed, offset: 33),
    Case(
      name: "five dimensions", bytes: header(tensors: 1) + tensor([1, 1, 1, 1, 1]),
      code: .malformed, offset: 33),
    Case(
      name: "an empty dimension", bytes: header(tensors: 1) + tensor([4, 0]), code: .malformed,
      offset: 37),
    Case(
      name: "a product that overflows",
      bytes: header(tensors: 1) + tensor([1 << 32, 1 << 31]), code: .malformed, offset: 37),
    Case(
      name: "a size in bytes that overflows",
      bytes: header(tensors: 1) + tensor([1 << 62]), code: .malformed, offset: 37),
    Case(
      name: "a dimension above 2^63", bytes: header(tensors: 1) + tensor([1 << 63]),
      code: .malformed, offset: 37),
    Case(
      name: "a row that is no whole number of blocks",
      bytes: header(tensors: 1) + tensor([33], type: 8), code: .malformed, offset: 37),
    Case(
      name: "an unknown tensor type", bytes: header(tensors: 1) + tensor([4], type: 4),
      code: .unknownTensorType, offset: 45),
    Case(
      name: "a misaligned tensor", bytes: header(tensors: 1) + tensor([4], offset: 4) + filler,
      code: .badTensorRange, offset: 24),
    Case(
      name: "a tensor at 2^63", bytes: header(tensors: 1) + tensor([4], offset: 1 << 63) + filler,
      code: .badTensorRange, offset: 24),
    Case(
      name: "a tensor beyond the end", bytes: header(tensors: 1) + tensor([4096]) + filler,
      code: .badTensorRange, offset: 24),
    Case(
      name: "two tensors of one name",
      bytes: header(tensors: 2) + tensor([4]) + tensor([4], offset: 32) + filler + filler,
      code: .duplicateName, offset: 57),
    Case(
      name: "overlapping tensors",
      bytes: header(tensors: 2) + tensor([16]) + tensor([4], name: "u", offset: 32) + filler
        + filler + filler, code: .badTensorRange, offset: 128),
  ]

  private static let filler = [UInt8](repeating: 0, count: 64)

  private static func number<Number: BitwiseCopyable>(_ value: Number) -> [UInt8] {
    withUnsafeBytes(of: value) { Array($0) }
  }

  private static func text(_ value: String) -> [UInt8] {
    number(UInt64(value.utf8.count)) + Array(value.utf8)
  }

  private static func header(
    version: UInt32 = 3, tensors: UInt64 = 0, keys: UInt64 = 0
  ) -> [UInt8] {
    Array("GGUF".utf8) + number(version) + number(tensors) + number(keys)
  }

  private static func array(of type: UInt32, count: UInt64) -> [UInt8] {
    number(UInt32(9)) + number(type) + number(count)
  }

  private static func tensor(
    _ shape: [UInt64], name: String = "t", type: UInt32 = 0, offset: UInt64 = 0
  ) -> [UInt8] {
    text(name) + number(UInt32(shape.count)) + shape.flatMap { number($0) } + number(type)
      + number(offset)
  }
}
