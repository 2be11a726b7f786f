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
  var acceptance = AcceptanceRates(tokens: 50)
  private var lastOutput: Int32?
  private var text: OutputText
  private let endOfGeneration: Set<Int32>
  private let tokenizer: any Tokenizer
  private let grammar: Grammar?
  private var cursor: Grammar.Cursor?
  private var nextMask: TokenMask?
  private var maskSeconds = 0.0

  /// Brings a sequence to the state it had after its resumed tokens.
  init(
    owner: RunningRequest, output: Int, tokenizer: any Tokenizer, table: BlockTable
  ) {
    self.owner = owner
    self.output = output
    self.tokenizer = tokenizer
    grammar = owner.grammar
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
    nextMask = other.nextMask
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

  /// Whether its output would end with a token.
  func ends(with token: Int32) -> Bool {
    if endOfGeneration.contains(token) { return true }
    if !request.options.stop.isEmpty {
      var text = text
      _ = text.append(token)
      if text.hasStopped { return true }
    }
    guard let grammar, var cursor, grammar.advance(&cursor, tokenizer.bytes(of: token)) else {
      return false
    }
    let room = tokenLimit - request.promptTokens.count - outputCount - 1
    let mask = grammar.mask(&cursor, room: room)
    return mask.count == 0 && mask.mayEnd
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
    if drafted.isEmpty {
      rules.mask = mask()
    } else {
      rules.mask = grammar.mask(&cursor, room: tokenLimit - request.promptTokens.count - count)
    }
    return rules
  }

  /// That the next token is the one it is to be, where that is given. Drafts know nothing of it.
  var forced: TokenRules? {
    guard outputCount < request.forcedTokens.count else { return nil }
    return TokenRules(
      mask: TokenMask(
        only: request.forcedTokens[outputCount], vocabularySize: tokenizer.vocabularySize))
  }

  /// The seconds that it took to find out which tokens its grammar allows, since this was asked last.
  func takeMaskSeconds() -> Double {
    defer { maskSeconds = 0 }
    return maskSeconds
  }

  /// Which tokens its grammar allows next; found out once for each token.
  private func mask() -> TokenMask? {
    if let known = nextMask { return known }
    guard let grammar, var cursor else { return nil }
    let start = ContinuousClock.now
    nextMask = grammar.mask(
      &cursor, room: tokenLimit - request.promptTokens.count - outputCount)
    self.cursor = cursor
    maskSeconds += start.duration(to: .now) / .seconds(1)
    return nextMask
  }

  /// Whether the text is whole, as its grammar has it: nothing may be added, or nothing for which there
  /// is room.
  private var isWhole: Bool {
    guard let mask = mask() else { return false }
    return mask.count == 0 && mask.mayEnd
  }

  /// Whether the resumed tokens were the whole output already.
  var isComplete: Bool {
    (outputCount > 0 || request.isResumed)
      && (text.hasStopped || isAtLimit || isWhole
        || lastOutput.map(endOfGeneration.contains) ?? false)
  }

  /// If the resumed tokens were the whole output already: why it ended, and text held back.
  func finishIfComplete() -> (finish: FinishReason, text: String)? {
    var released = ""
    return finishAfterLastToken(&released).map { ($0, released) }
  }

  /// The text held back, at an end that comes without a token.
  func finishText() -> String { text.finish() }

  private var isAtLimit: Bool { request.promptTokens.count + outputCount >= tokenLimit }

  private func take(_ token: Int32) -> String {
    outputCount += 1
    lastOutput = token
    nextMask = nil
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
