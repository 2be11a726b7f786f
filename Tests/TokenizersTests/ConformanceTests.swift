import Foundation
import Testing
import Tokenizers

@Suite("Against a peer's results, the tokenizer", .enabled(if: Conformance.isPresent))
struct ConformanceTests {
  @Test("gives equal tokens for all cases of the Llama 2 vocabulary")
  func llamaVocabulary() throws {
    let folder = try #require(Conformance.folder)
    let path = "\(folder)/tokenizers/ggml-vocab-llama-spm.gguf"
    let tokenizer = try Conformance.tokenizer(path)
    let input = try String(contentsOfFile: path + ".inp", encoding: .utf8)
    let output = try String(contentsOfFile: path + ".out", encoding: .utf8)
    // Cut by bytes: "\r\n" is one Character and would hide a newline.
    let cases = split(Array(input.utf8), by: Array("\n__ggml_vocab_test__\n".utf8))
    let expected = split(Array(output.utf8), by: [10]).map { line in
      String(decoding: line, as: UTF8.self).split(separator: " ").compactMap { TokenID($0) }
    }
    try #require(cases.count > 40)
    try #require(cases.count == expected.count)
    for (text, ids) in zip(cases, expected) {
      let text = String(decoding: text, as: UTF8.self)
      #expect(
        tokenizer.encode(text, parsingSpecialTokens: false) == ids, "\(text.debugDescription)")
    }
  }

  @Test("gives the prompts and texts of the greedy generations")
  func generations() throws {
    struct Generation: Decodable {
      let prompt: String
      let promptIds: [TokenID]
      let ids: [TokenID]
      let text: String
    }
    let folder = try #require(Conformance.folder)
    let tokenizer = try Conformance.tokenizer("\(folder)/stories260K.gguf")
    let bos = try #require(tokenizer.beginOfText)
    let lines = try String(
      contentsOfFile: "\(folder)/generations/stories260K-greedy.jsonl", encoding: .utf8
    ).split(separator: "\n")
    try #require(!lines.isEmpty)
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    for line in lines {
      let generation = try decoder.decode(Generation.self, from: Data(line.utf8))
      let ids = tokenizer.encode(generation.prompt, parsingSpecialTokens: false)
      #expect((tokenizer.addsBeginOfText ? [bos] : []) + ids == generation.promptIds)
      var stream = StreamingDetokenizer(tokenizer)
      let text = generation.ids.map { stream.append($0) }.joined() + stream.finish()
      #expect(text == generation.text)
    }
  }

  /// The parts between separators; a separator at the end adds no empty part.
  private func split(_ bytes: [UInt8], by separator: [UInt8]) -> [[UInt8]] {
    var parts: [[UInt8]] = []
    var part: [UInt8] = []
    for byte in bytes {
      part.append(byte)
      if part.suffix(separator.count).elementsEqual(separator) {
        parts.append(part.dropLast(separator.count))
        part = []
      }
    }
    return parts
  }
}
