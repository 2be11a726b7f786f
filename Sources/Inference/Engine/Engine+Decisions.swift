import Grammars
import Tensors

extension Engine {
  /// A row of logits, and those behind it of drafted tokens, from which tokens are to be chosen.
  struct Decision {
    let sequence: RunningSequence
    let work: Scheduler.Work
    let drafts: [DraftedToken]
    /// Whether the draft model was run for it.
    let usesModel: Bool
    let firstRow: Int
    /// Whether the sequence is a further sample of a prompt, which begins here.
    let isFork: Bool

    /// The position of the token that is to be chosen.
    var position: Int { work.start + work.count }
  }

  func decisions(
    _ works: [Scheduler.Work], _ drafts: [[DraftedToken]], _ plan: DraftPlan
  ) -> [Decision] {
    var decisions: [Decision] = []
    var row = 0
    for (work, drafts) in zip(works, drafts) where work.isLast {
      guard let sequence = sequences[work.sequence] else { continue }
      func add(_ sequence: RunningSequence, isFork: Bool) {
        decisions.append(
          Decision(
            sequence: sequence, work: work, drafts: drafts,
            usesModel: work.drafts > 0 && plan.found[work.sequence] == nil, firstRow: row,
            isFork: isFork))
      }
      add(sequence, isFork: false)
      for output in sequence.owner.unbegun {
        add(RunningSequence(copying: sequence, output: output), isFork: true)
      }
      sequence.owner.unbegun = 0..<0
      row += 1 + drafts.count
    }
    return decisions
  }

  /// What became of a sequence in a step.
  struct Verdict {
    var tokens: [GeneratedToken] = []
    var finish: FinishReason?
    /// Why the next token cannot be chosen, if that is so.
    var failure: InferenceError?
    /// Text released by an end without a token.
    var trailingText = ""
    /// What may come next, in a search.
    var expansion: Expansion?
    var maskedChoices = 0
    var maskSeconds = 0.0
  }

  /// Chooses tokens from the rows of logits, on all threads: of each decision the next one, and as
  /// long as that was the drafted one, the one after it.
  func verify(_ decisions: [Decision]) -> [Verdict] {
    [Verdict](unsafeUninitializedCapacity: decisions.count) { buffer, count in
      buffer.initialize(repeating: Verdict())
      pass.pool.run(count: decisions.count) { thread, range in
        for index in range {
          buffer[index] = verify(
            decisions[index], scratch: samplerScratch.base + thread * sampler.vocabulary)
        }
      }
      count = decisions.count
    }
  }

  private func verify(
    _ decision: Decision, scratch: UnsafeMutablePointer<Float>
  ) -> Verdict {
    var verdict = Verdict()
    let sequence = decision.sequence
    let options = sequence.request.options
    for index in 0...decision.drafts.count {
      let rules = sequence.forced ?? sequence.rules()
      if sequence.isConstrained { verdict.maskedChoices += 1 }
      let logits = pass.logits(at: decision.firstRow + index)
      let position = decision.position + index
      if sequence.owner.isSearch {
        verdict.expansion = expand(logits, sequence, rules, scratch)
        if verdict.expansion == nil { verdict.failure = .notFinite(position: position) }
        break
      }
      let choice = sampler.choose(
        logits: logits, options: options, history: sequence.history,
        random: Philox.uniform(
          seed: options.seed, position: position, output: sequence.output),
        rules: rules, scratch: scratch)
      guard let choice else {
        // After accepted tokens, these are told of first: the next step comes to the same.
        if verdict.tokens.isEmpty { conclude(sequence, rules, position: position, &verdict) }
        break
      }
      let (token, finish) = sequence.append(choice)
      verdict.tokens.append(token)
      verdict.finish = finish
      let drafts = decision.drafts
      if finish != nil || index == drafts.count || drafts[index].token != choice.token { break }
    }
    verdict.maskSeconds = sequence.takeMaskSeconds()
    return verdict
  }

  /// Ends a sequence of which no token can be chosen.
  private func conclude(
    _ sequence: RunningSequence, _ rules: TokenRules, position: Int, _ verdict: inout Verdict
  ) {
    guard let mask = rules.mask, mask.count == 0 else {
      verdict.failure = .notFinite(position: position)
      return
    }
    guard mask.mayEnd else {
      verdict.failure = .noTokenFits(position: position)
      return
    }
    verdict.finish = .stop
    verdict.trailingText = sequence.finishText()
  }
}
