import Grammars
import Tokenizers

/// A sequence in flight: its text, and where its keys and values are. Its tokens are the scheduler's.
final class RunningSequence {
  /// The request that it belongs to.
  let owner: RunningRequest
  /// Which output of it this is; 0 in a search.
  let output: Int
  /// Where its keys and values are.
  var table: BlockTable
  /// Tokens of a search that are not output yet.
  var unreported: [GeneratedToken] = []
  /// Tokens of output so far.
  private(set) var outputCount = 0
  /// What penalties look at.
  private(set) var history: TokenHistory
  /// How far the draft model has come with it.
  var draftProgress = DraftModel.Progress()
  /// How often tokens drafted for it were accepted.
  var acceptance = AcceptanceRates()
  private var lastOutput: Int32?
  private var text: OutputText
  private let endOfGeneration: Set<Int32>
  private let tokenizer: any Tokenizer
  private let grammar: Grammar?
  private var cursor: Grammar.Cursor?

  /// Brings a sequence to the state it had after its resumed tokens.
  init(
    owner: RunningRequest, output: Int, tokenizer: any Tokenizer, grammar: Grammar?,
    table: BlockTable
  ) {
    self.owner = owner
    self.output = output
    self.tokenizer = tokenizer
    self.grammar = grammar
    cursor = grammar?.start
    self.table = table
    let request = owner.request
    endOfGeneration = (request.options.ignoreEnd ? [] : tokenizer.endOfGeneration)
      .union(request.options.stopTokens)
    history = TokenHistory(prompt: request.promptTokens)
    text = OutputText(tokenizer: tokenizer, stop: request.options.stop)
    for token in owner.resumed(output: output) { _ = take(token) }
  }

  /// A copy that goes on by itself, as another output if that is told.
  init(copying other: RunningSequence, output: Int? = nil) {
    owner = other.owner
    self.output = output ?? other.output
    tokenizer = other.tokenizer
    grammar = other.grammar
    cursor = other.cursor
    table = other.table
    endOfGeneration = other.endOfGeneration
    history = other.history
    text = other.text
    outputCount = other.outputCount
    lastOutput = other.lastOutput
    unreported = other.unreported
  }

  /// What was asked for.
  var request: GenerationRequest { owner.request }
  /// The most tokens, prompt and output together, that it may grow to.
  var tokenLimit: Int { owner.tokenLimit }
  /// How many tokens may end its output.
  var endCount: Int { endOfGeneration.count }

  /// Adds a token that was chosen; returns it with its text, and why the output ends, if it does.
  func append(_ choice: TokenSampler.Choice) -> (token: GeneratedToken, finish: FinishReason?) {
    var released = take(choice.token)
    let finish = finishAfterLastToken(&released)
    let token = GeneratedToken(
      token: choice.token, text: released, logprob: choice.logprob,
      topLogprobs: choice.topLogprobs)
    return (token, finish)
  }

  /// Whether its text must be one of a grammar.
  var isConstrained: Bool { grammar != nil }

  /// Which tokens may come next, behind `drafted` ones that are not output yet.
  func rules(behind drafted: [Int32] = []) -> TokenRules {
    let count = outputCount + drafted.count
    var rules = TokenRules(
      forbidden: count < request.options.minTokens ? endOfGeneration : [], ends: endOfGeneration)
    guard let grammar, var cursor else { return rules }
    for token in drafted where !grammar.advance(&cursor, tokenizer.bytes(of: token)) {
      // It will not be accepted, so that it does not matter what comes behind it.
      return rules
    }
    rules.mask = grammar.mask(
      &cursor, room: tokenLimit - request.promptTokens.count - count)
    if drafted.isEmpty { self.cursor = cursor }
    return rules
  }

  /// Whether the text is whole, as its grammar has it.
  private var isWhole: Bool {
    guard let grammar, var cursor else { return false }
    return grammar.isComplete(&cursor)
  }

  /// Whether the resumed tokens were the whole output already.
  var isComplete: Bool {
    outputCount > 0
      && (text.hasStopped || isAtLimit || isWhole
        || lastOutput.map(endOfGeneration.contains) ?? false)
  }

  /// If the resumed tokens were the whole output already: why it ended, and text held back.
  func finishIfComplete() -> (finish: FinishReason, text: String)? {
    guard outputCount > 0 else { return nil }
    var released = ""
    return finishAfterLastToken(&released).map { ($0, released) }
  }

  /// The text held back, at an end that comes without a token.
  func finishText() -> String { text.finish() }

  private var isAtLimit: Bool { request.promptTokens.count + outputCount >= tokenLimit }

  private func take(_ token: Int32) -> String {
    outputCount += 1
    lastOutput = token
    if let grammar, var cursor, !endOfGeneration.contains(token),
      grammar.advance(&cursor, tokenizer.bytes(of: token))
    {
      self.cursor = cursor
    }
    history.append(token)
    return text.append(token)
  }

  private func finishAfterLastToken(_ released: inout String) -> FinishReason? {
    if text.hasStopped { return .stopString }
    let isEnd = isWhole || lastOutput.map(endOfGeneration.contains) ?? false
    guard isEnd || isAtLimit else { return nil }
    released += text.finish()
    if text.hasStopped { return .stopString }
    return isEnd ? .stop : .length
  }
}
