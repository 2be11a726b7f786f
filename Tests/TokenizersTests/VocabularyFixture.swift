import Foundation
import ModelFormats
import Tokenizers

/// A small vocabulary made by hand: three special pieces, all bytes, and a few merges.
enum VocabularyFixture {
  static let specials = ["<unk>", "<s>", "</s>"]
  static let bytes = (0..<256).map { "<0x" + hex(UInt8($0)) + ">" }
  /// Pieces with scores: higher ones are merged first.
  static let merges: [(String, Float)] = [
    ("▁", -100), ("a", -101), ("b", -102), ("c", -103), ("<", -104), (">", -105), ("s", -106),
    ("é", -107), ("/", -108), ("x", -109),
    ("ab", -1), ("bc", -2), ("▁a", -3), ("abc", -4), ("▁ab", -5), ("aa", -6), ("<s", -7),
    ("s>", -8), ("▁▁", -9), ("aaaa", -10),
  ]

  static func description(
    extra: [(String, PieceType)] = [], addsSpacePrefix: Bool? = nil
  ) -> TokenizerDescription {
    let extraTypes = extra.map(\.1.rawValue)
    return TokenizerDescription(
      model: "llama", pieces: specials + bytes + merges.map(\.0) + extra.map(\.0),
      scores: Array(repeating: 0, count: 259) + merges.map(\.1) + extra.map { _ in -50 },
      types: [2, 3, 3] + Array(repeating: 6, count: 256) + merges.map { _ in 1 } + extraTypes,
      addsSpacePrefix: addsSpacePrefix)
  }

  static func tokenizer(
    extra: [(String, PieceType)] = [], addsSpacePrefix: Bool? = nil
  ) throws -> SentencePieceTokenizer {
    try SentencePieceTokenizer(description(extra: extra, addsSpacePrefix: addsSpacePrefix))
  }

  private static func hex(_ byte: UInt8) -> String {
    let text = String(byte, radix: 16, uppercase: true)
    return text.count == 1 ? "0" + text : text
  }
}

/// The folder of a peer's results, where the machine has it.
enum Conformance {
  static let folder = ProcessInfo.processInfo.environment["MILLRACE_CONFORMANCE"]
  static var isPresent: Bool { folder != nil }

  static func tokenizer(_ path: String) throws -> any Tokenizer {
    let vocabulary = try GGUFVocabulary(GGUFFile(path: path).metadata)
    return try makeTokenizer(
      from: TokenizerDescription(
        model: vocabulary.model, pieces: vocabulary.pieces, scores: vocabulary.scores,
        types: vocabulary.types, beginOfText: vocabulary.beginOfText,
        endOfText: vocabulary.endOfText, endOfTurn: vocabulary.endOfTurn,
        unknown: vocabulary.unknown, addsBeginOfText: vocabulary.addsBeginOfText,
        addsSpacePrefix: vocabulary.addsSpacePrefix))
  }
}

/// SplitMix64: small, and the same numbers on every machine.
struct SeededGenerator: RandomNumberGenerator {
  private var state: UInt64

  init(seed: UInt64) { state = seed }

  /// A generator for a property test, whose seed is printed; MILLRACE_TEST_SEED repeats a run.
  static func announced(_ test: String) -> SeededGenerator {
    let stated = ProcessInfo.processInfo.environment["MILLRACE_TEST_SEED"].flatMap { UInt64($0) }
    let seed = stated ?? UInt64.random(in: 0...UInt64.max)
    print("\(test): seed \(seed) (MILLRACE_TEST_SEED=\(seed) repeats it)")
    return SeededGenerator(seed: seed)
  }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var mixed = state
    mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
    return mixed ^ (mixed >> 31)
  }

  /// Text of random scalars: mostly ones that the fixture has pieces for.
  mutating func text(scalars count: Int) -> String {
    let common = Array("aabbccss <>/xé".unicodeScalars)
    var text = String.UnicodeScalarView()
    for _ in 0..<count {
      let isRare = Int.random(in: 0..<8, using: &self) == 0
      let rare = Unicode.Scalar(UInt32.random(in: 1...0x10FFFF, using: &self))
      text.append((isRare ? rare : nil) ?? common[Int.random(in: 0..<common.count, using: &self)])
    }
    return String(text)
  }
}
