import Foundation
import Inference

/// What the sequences of a measurement begin with, and what they are to go on with where that is given.
struct BenchPrompts {
  /// A sequence to measure.
  struct Prompt {
    var tokens: [Int32]
    /// What the output is, whatever the model would say; empty where that is left to the model.
    var output: [Int32] = []
    /// Tokens of output.
    var decodeTokens: Int
  }

  /// A line of a file of prompts with their outputs.
  private struct Entry: Decodable {
    var prompt: String
    var output: String
  }

  private let prompts: [Prompt]
  private let made: (tokens: Int, vocabulary: Int, decodeTokens: Int)?

  /// Any tokens take the same time; these differ between sequences and repeat between runs.
  init(tokens: Int, vocabulary: Int, decodeTokens: Int) {
    prompts = []
    made = (tokens, vocabulary, decodeTokens)
  }

  /// The prompts of a file: one a line, or, if its name ends in `.jsonl`, an object a line with `prompt`
  /// and `output`, of which as many tokens are output as `decodeTokens` says, at most.
  init(
    file: String, for model: LanguageModel, decodeTokens: Int?
  ) throws(CommandFailure) {
    made = nil
    let lines = try PromptArgument.file(file, "--prompts")
      .split(omittingEmptySubsequences: false) { $0 == "\n" || $0 == "\r\n" }.enumerated()
      .filter { $0.element.contains { !$0.isWhitespace } }
    var prompts: [Prompt] = []
    for (index, line) in lines {
      if file.hasSuffix(".jsonl") {
        prompts.append(
          try Self.prompt(line, "line \(index + 1) of --prompts \(file)", model, decodeTokens))
      } else {
        let tokens = model.encodePrompt(String(line))
        prompts.append(Prompt(tokens: tokens, decodeTokens: decodeTokens ?? Self.decodeTokens))
      }
    }
    guard !prompts.isEmpty else {
      throw CommandFailure("--prompts \(file) holds no prompt; write one a line")
    }
    self.prompts = prompts
    guard longest <= model.trainedContextLength else {
      throw CommandFailure(
        "--prompts \(file) has one of \(longest) tokens, output included, which is over the model's "
          + "context of \(model.trainedContextLength)")
    }
  }

  /// Tokens of output where nothing is said.
  static let decodeTokens = 64

  private static func prompt(
    _ line: Substring, _ name: String, _ model: LanguageModel, _ decodeTokens: Int?
  ) throws(CommandFailure) -> Prompt {
    let entry: Entry
    do {
      entry = try JSONDecoder().decode(Entry.self, from: Data(line.utf8))
    } catch {
      throw CommandFailure(
        #"\#(name) must be an object like {"prompt": "Repeat: a b", "output": " a b"}"#)
    }
    // The text as a whole, so that its tokens are those of one that was written in one go.
    let whole = model.encodePrompt(entry.prompt + entry.output)
    let tokens = zip(whole, model.encodePrompt(entry.prompt)).prefix { $0 == $1 }.map(\.0)
    let output = whole.dropFirst(tokens.count).prefix(decodeTokens ?? whole.count)
    guard !tokens.isEmpty, output.count > 1 else {
      throw CommandFailure("\(name) needs a prompt, and an output of two tokens or more")
    }
    return Prompt(tokens: tokens, output: Array(output), decodeTokens: output.count)
  }

  /// Tokens of the longest, with its output.
  var longest: Int {
    made.map { $0.tokens + $0.decodeTokens }
      ?? prompts.map { $0.tokens.count + $0.decodeTokens }.max() ?? 0
  }

  /// Tokens of the longest prompt.
  var longestPrompt: Int { made?.tokens ?? prompts.map(\.tokens.count).max() ?? 0 }
  /// The most tokens of output.
  var longestOutput: Int { made?.decodeTokens ?? prompts.map(\.decodeTokens).max() ?? 0 }

  /// A sequence's prompt: they are used in turn, each run going on where the one before it stopped.
  func prompt(sequence: Int, of size: Int, round: Int) -> Prompt {
    guard let made else { return prompts[(round * size + sequence) % prompts.count] }
    let tokens = (0..<made.tokens).map { index in
      Int32((index &* 7_919 &+ sequence &* 104_729 &+ 3) % made.vocabulary)
    }
    return Prompt(tokens: tokens, decodeTokens: made.decodeTokens)
  }
}
