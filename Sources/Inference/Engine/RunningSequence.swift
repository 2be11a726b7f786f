import Tokenizers

/// A sequence in flight: its tokens, its text, and where its keys and values are.
final class RunningSequence {
  /// What was asked for.
  let request: GenerationRequest
  /// The most tokens, prompt and output together, that it may grow to.
  let tokenLimit: Int
  /// Where its keys and values are.
  let table: BlockTable
  /// Prompt and output so far.
  private(set) var tokens: [Int32]
  /// What penalties look at.
  private(set) var history: TokenHistory
  private var text: OutputText
  private let endOfGeneration: Set<Int32>

  /// Brings a sequence to the state it had after its resumed tokens.
  init(
    request: GenerationRequest, tokenizer: any Tokenizer, contextLength: Int, table: BlockTable
  ) {
    self.request = request
    self.table = table
    tokenLimit = Self.tokenLimit(request, contextLength: contextLength)
    endOfGeneration = request.options.ignoreEnd ? [] : tokenizer.endOfGeneration
    tokens = request.promptTokens
    history = TokenHistory(prompt: request.promptTokens)
    text = OutputText(tokenizer: tokenizer, stop: request.options.stop)
    for token in request.resumedTokens {
      tokens.append(token)
      history.append(token)
      _ = text.append(token)
    }
  }

  /// The most tokens that a request can come to: prompt and maximum output, within the context.
  static func tokenLimit(_ request: GenerationRequest, contextLength: Int) -> Int {
    let wanted = request.promptTokens.count.addingReportingOverflow(request.options.maxTokens)
    return wanted.overflow ? contextLength : min(wanted.partialValue, contextLength)
  }

  /// Tokens of output so far.
  var outputCount: Int { tokens.count - request.promptTokens.count }

  /// Adds a token that was chosen; returns it with its text, and why the output ends, if it does.
  func append(_ choice: TokenSampler.Choice) -> (token: GeneratedToken, finish: FinishReason?) {
    tokens.append(choice.token)
    history.append(choice.token)
    var released = text.append(choice.token)
    let finish = finishAfterLastToken(&released)
    let token = GeneratedToken(
      token: choice.token, text: released, logprob: choice.logprob,
      topLogprobs: choice.topLogprobs)
    return (token, finish)
  }

  /// Whether the resumed tokens were the whole output already.
  var isComplete: Bool {
    outputCount > 0
      && (text.hasStopped || tokens.count >= tokenLimit
        || tokens.last.map(endOfGeneration.contains) ?? false)
  }

  /// If the resumed tokens were the whole output already: why it ended, and text held back.
  func finishIfComplete() -> (finish: FinishReason, text: String)? {
    guard outputCount > 0 else { return nil }
    var released = ""
    return finishAfterLastToken(&released).map { ($0, released) }
  }

  private func finishAfterLastToken(_ released: inout String) -> FinishReason? {
    if text.hasStopped { return .stopString }
    let isEnd = tokens.last.map(endOfGeneration.contains) ?? false
    guard isEnd || tokens.count >= tokenLimit else { return nil }
    released += text.finish()
    if text.hasStopped { return .stopString }
    return isEnd ? .stop : .length
  }
}
