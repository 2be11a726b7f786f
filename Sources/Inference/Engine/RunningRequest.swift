/// A request in flight: what was asked for, and which sequences work on it.
final class RunningRequest {
  /// What was asked for.
  let request: GenerationRequest
  /// The most tokens, prompt and output together, that a sequence may grow to.
  let tokenLimit: Int
  /// Its sequences, by the engine's names for them.
  var sequences: [UInt64] = []
  /// Samples that begin when the prompt is computed: they share it.
  var unbegun: Range<Int> = 0..<0
  /// Outputs that have not ended.
  var openOutputs: Int
  /// The search that its sequences are beginnings of, if it is one.
  var beam: BeamSearch?
  var contrastive: ContrastiveSearch?
  /// Block tables for sequences to come.
  private var tables: [BlockTable] = []

  /// A request none of whose sequences is there yet.
  init(_ request: GenerationRequest, contextLength: Int) {
    self.request = request
    let wanted = request.promptTokens.count.addingReportingOverflow(request.options.maxTokens)
    tokenLimit = wanted.overflow ? contextLength : min(wanted.partialValue, contextLength)
    openOutputs = request.options.outputs
    switch request.options.strategy {
    case .sampling: break
    case .beam(let options):
      beam = BeamSearch(
        options, outputs: request.options.outputs,
        mostTokens: tokenLimit - request.promptTokens.count)
    case .contrastive(let options): contrastive = ContrastiveSearch(options)
    }
  }

  /// Whether it is a search.
  var isSearch: Bool { beam != nil || contrastive != nil }

  /// Makes the block tables of all its sequences; throws `outOfMemory`.
  func reserveTables(blocks: Int) throws(InferenceError) {
    for _ in 0..<request.options.places { tables.append(try BlockTable(capacity: blocks)) }
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

  /// The outputs whose sequences are there from the beginning: the first one, and all others if some
  /// of them had begun already.
  var beginning: Range<Int> {
    guard !isSearch else { return 0..<1 }
    let begun = request.resumedOutputs.contains { !$0.isEmpty }
    return 0..<(begun ? request.options.outputs : 1)
  }
}
