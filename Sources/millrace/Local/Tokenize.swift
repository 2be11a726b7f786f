import ArgumentParser
import Foundation
import Inference
import ModelFormats
import Tokenizers

struct Tokenize: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Print the tokens of the text on standard input.",
    discussion: """
      Works on any GGUF file with a vocabulary, also one without weights.

      Example: echo -n "Once upon" | millrace tokenize --model model.gguf --json
      """)

  @Option(help: "A GGUF file. [the bundled storyteller]")
  var model: String?

  @Flag(help: "Leave out the begin-of-text token.")
  var noBos = false

  @Flag(help: "Print {\"ids\": [...]}.")
  var json = false

  func run() async throws {
    try explaining {
      let tokenizer = try LanguageModel.loadTokenizer(
        path: model ?? BundledModels().required())
      let text = try PromptArgument.text("-")
      var ids = tokenizer.encode(text, parsingSpecialTokens: false)
      if !noBos, tokenizer.addsBeginOfText, let begin = tokenizer.beginOfText {
        ids.insert(begin, at: 0)
      }
      if json {
        try Output.json(["ids": ids])
      } else {
        for id in ids { Output.line("\(id)\t\(printable(tokenizer.token(id), limit: 200))") }
      }
    }
  }
}
