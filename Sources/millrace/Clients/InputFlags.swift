import ArgumentParser
import Messages

/// What a job is to go on from: one of several forms.
struct InputFlags: ParsableArguments {
  /// A turn of a conversation, as `--message ROLE:CONTENT` gives it.
  struct Turn {
    let role: String
    let content: String

    init(_ text: String) throws {
      guard let colon = text.firstIndex(of: ":"), colon != text.startIndex else {
        throw ValidationError("a message must be ROLE:CONTENT, for example user:Hello")
      }
      role = String(text[..<colon])
      content = String(text[text.index(after: colon)...])
    }
  }

  @Option(parsing: .unconditional, help: "The prompt; - reads it from standard input.")
  var prompt: String?

  @Option(help: "File that holds the prompt; - is standard input. [none]")
  var promptFile: String?

  @Option(
    name: .customLong("token-ids"), parsing: .unconditional,
    help: "The prompt as token ids, with commas, taken as they are. [none]")
  var tokenIDs: String?

  @Option(
    parsing: .unconditionalSingleValue,
    help: ArgumentHelp(
      "A turn of a conversation, for models with a chat template. May be repeated. [none]",
      valueName: "role:content"),
    transform: Turn.init)
  var message: [Turn] = []

  @Option(
    help: """
      File of many submissions: a SubmitJobRequest of JSON on each line, such as {"spec": {"prompt": \
      "Hi"}}; - is standard input. [none]
      """)
  var batch: String?

  func validate() throws {
    let given = [
      prompt != nil, promptFile != nil, tokenIDs != nil, !message.isEmpty, batch != nil,
    ].filter(\.self)
    guard given.count == 1 else {
      throw ValidationError(
        "give one of --prompt, --prompt-file, --token-ids, --message and --batch")
    }
    if let tokenIDs {
      _ = try NumberList.parse(tokenIDs, flag: "--token-ids", in: 0...Int(Int32.max))
    }
  }

  func fill(_ spec: inout Millrace_V1_GenerationSpec) throws {
    if let prompt { spec.prompt = try PromptArgument.text(prompt) }
    if let promptFile { spec.prompt = try PromptArgument.file(promptFile, "--prompt-file") }
    if let tokenIDs {
      let ids = try NumberList.parse(tokenIDs, flag: "--token-ids", in: 0...Int(Int32.max))
      spec.tokenIds.ids = ids.map(Int32.init)
    }
    if !message.isEmpty {
      spec.messages.messages = message.map { turn in
        var message = Millrace_V1_Message()
        message.role = turn.role
        message.content = turn.content
        return message
      }
    }
  }
}
