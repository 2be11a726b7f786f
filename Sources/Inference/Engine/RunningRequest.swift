import Grammars

/// A request in flight: what was asked for, and which sequences work on it.
final class RunningRequest {
  /// What was asked for.
  let request: GenerationRequest
  /// The most tokens, prompt and output together, that a sequence may grow to.
  let tokenLimit: Int
  /// Its sequences, by the engine's names for them.
  var sequences: [UInt64] = []
  /// What its text must be.
  let grammar: Grammar?
  /// The most sequences that it has at a time.
  let mostSequences: Int
  /// Samples that begin when the prompt is computed: they share it.
  var unbegun: Range<Int> = 0..<0
  /// Samples for which there is no place yet.
  var waiting: Range<Int> = 0..<0
  /// Outputs that have not ended.
  var openOutputs: Int
  /// Tokens of the prompt that were found in the prefix cache.
  var cachedPromptTokens: Int?
  /// The search that its sequences are beginnings of, if it is one.
  var beam: BeamSearch?
  var contrastive: ContrastiveSearch?
  /// Block tables for sequences to come.
  private var tables: [BlockTable] = []

  /// A request none of whose sequences is there yet, for an engine of so many places and a model of so
  /// wide hidden states; throws `outOfMemory`.
  init(
    _ request: GenerationRequest, contextLength: Int, places: Int, grammar: Grammar?, width: Int
  ) throws(InferenceError) {
    self.request = request
    self.grammar = grammar
    mostSequences = min(request.options.places, places)
    let wanted = request.promptTokens.count.addingReportingOverflow(request.options.maxTokens)
    tokenLimit = wanted.overflow ? contextLength : min(wanted.partialValue, contextLength)
    openOutputs = request.options.outputs
    switch request.options.strategy {
    case .sampling: break
    case .beam(let options):
      beam = BeamSearch(
        options, outputs: request.options.outputs,
        mostTokens: tokenLimit - request.promptTokens.count)
    case .contrastive(let options):
      contrastive = try ContrastiveSearch(options, tokens: tokenLimit, width: width)
    }
  }

  /// Whether it is a search.
  var isSearch: Bool { beam != nil || contrastive != nil }

  /// The places that it takes now. A sample gives its own back when it ends, unless another one waits
  /// for it; a search keeps all of them.
  var places: Int { isSearch ? mostSequences : min(mostSequences, openOutputs) }

  /// Makes the block tables of all its sequences; throws `outOfMemory`.
  func reserveTables(blocks: Int) throws(InferenceError) {
    for _ in 0..<mostSequences { tables.append(try BlockTable(capacity: blocks)) }
  }

  /// A table for one more sequence.
  func takeTable() -> BlockTable {
    guard let table = tables.popLast() else {
      preconditionFailure("a request has more sequences than it has places")
    }
    return table
  }

  /// Takes note that a sequence is no more.
  func didDrop(_ sequence: UInt64, _ table: BlockTable) {
    sequences.removeAll { $0 == sequence }
    tables.append(table)
  }

  /// The tokens of an output with which its sequence begins. A beam search begins anew each time: what
  /// it comes to is the same.
  func resumed(output: Int) -> [Int32] {
    beam == nil ? request.resumed(output: output) : []
  }

  /// Chooses the outputs whose sequences are there from the beginning: the first one, from which others
  /// are forked, or, if some had begun already, as many as there are places for.
  func chooseBeginning() -> Range<Int> {
    guard !isSearch else { return 0..<1 }
    waiting = mostSequences..<request.options.outputs
    if request.isResumed { return 0..<mostSequences }
    unbegun = 1..<mostSequences
    return 0..<1
  }

  /// The next sample that waited for a place.
  func takeWaiting() -> Int? { waiting.popFirst() }
}
