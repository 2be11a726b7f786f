import Tensors

extension Engine {
  /// What is to be drafted in a step.
  struct DraftPlan {
    /// How many tokens each sequence would like to draft; none where it is not in here.
    var counts: [UInt64: Int] = [:]
    /// What those found that drafted from their own text.
    var found: [UInt64: PromptLookup.Found] = [:]

    /// Who drafts for a sequence.
    func source(_ sequence: UInt64) -> DraftSource {
      found[sequence].map { DraftSource(match: $0.match) } ?? .model
    }
  }

  /// What speculation has brought so far, over all sequences.
  struct SpeculationRecord {
    /// How often drafted tokens were accepted.
    var acceptance = AcceptanceRates()
    /// What steps cost that held no prompt tokens.
    var cost = StepCost()
    /// What a drafted token is expected to be worth while nothing is known.
    private static let prior = 0.6

    /// The chance of a drafted token, as far as it is known without looking at its sequence.
    func chance(_ source: DraftSource) -> Double {
      acceptance[source].estimate(prior: Self.prior)
    }
  }

  /// Decides how many tokens to draft for the sequences that wait for one.
  func planDrafts() -> DraftPlan {
    var plan = DraftPlan()
    let waiting = scheduler.decoding
    var candidates: [(id: UInt64, candidate: DraftPlanner.Candidate)] = []
    let pays = mayPay(decoding: waiting.count)
    for id in waiting {
      guard let sequence = sequences[id], sequence.request.options.mayDraft,
        sequence.owner.unbegun.isEmpty
      else { continue }
      let speculation = sequence.request.speculation
      guard speculation.method != .off, speculation.tokens != nil || pays else { continue }
      let most = speculation.tokens ?? Self.mostAutomaticTokens
      if speculation.method != .draft {
        let found = PromptLookup.draft(scheduler.tokens(of: id), count: most)
        if !found.tokens.isEmpty { plan.found[id] = found }
      }
      let found = plan.found[id]?.tokens.count ?? 0
      let usesModel = found == 0 && draft != nil && speculation.method != .lookup
      let count =
        usesModel ? speculation.tokens ?? Self.mostModelTokens : found
      guard count > 0 else { continue }
      if speculation.tokens != nil {
        plan.counts[id] = count
      } else {
        let source = plan.source(id)
        candidates.append(
          (
            id,
            DraftPlanner.Candidate(
              acceptance: sequence.acceptance[source].estimate(
                prior: speculationRecord.chance(source)),
              limit: count, usesModel: usesModel)
          ))
      }
    }
    let fixed = plan.counts.values.reduce(0, +)
    guard !candidates.isEmpty, speculationRecord.cost.seconds(tokens: 1) != nil else { return plan }
    let counts = DraftPlanner.plan(
      candidates.map(\.candidate), base: waiting.count + fixed,
      budget: scheduler.limits.drafts - fixed,
      step: { speculationRecord.cost.seconds(tokens: $0) ?? 1 },
      pass: { draft?.cost.seconds(tokens: $0) ?? 0 })
    for (each, count) in zip(candidates, counts) where count > 0 { plan.counts[each.id] = count }
    return plan
  }

  /// The most tokens of a round where the engine chooses, and the most of those from the draft model,
  /// which has to be run for each.
  private static let mostAutomaticTokens = Speculation.maximumTokens
  private static let mostModelTokens = 8

  /// Whether tokens would pay that are nearly sure to be accepted: if not, nobody need look for any.
  private func mayPay(decoding: Int) -> Bool {
    guard decoding > 0, let now = speculationRecord.cost.seconds(tokens: decoding) else {
      return false
    }
    let more = min(Self.mostAutomaticTokens * decoding, scheduler.limits.drafts)
    guard let then = speculationRecord.cost.seconds(tokens: decoding + more) else { return false }
    return Double(decoding + more) / then > Double(decoding) / now
  }

  /// The drafted tokens of each work, no more than it has room for.
  func makeDrafts(_ works: [Scheduler.Work], _ plan: DraftPlan) -> [[Int32]] {
    var drafts: [[Int32]] = Array(repeating: [], count: works.count)
    var requests: [DraftModel.Request] = []
    var places: [Int] = []
    for (index, work) in works.enumerated() where work.drafts > 0 {
      if let found = plan.found[work.sequence] {
        drafts[index] = Array(found.tokens.prefix(work.drafts))
      } else if let sequence = sequences[work.sequence] {
        requests.append(
          DraftModel.Request(
            sequence: sequence, tokens: scheduler.tokens(of: work.sequence),
            blocks: scheduler.blocks(of: work.sequence), count: work.drafts))
        places.append(index)
      }
    }
    guard let draft, !requests.isEmpty else { return drafts }
    let made = draft.draft(requests, takings: scheduler.pool.takings)
    for (place, tokens) in zip(places, made) { drafts[place] = tokens }
    return drafts
  }

  /// Takes note of what became of a work's drafted tokens.
  func settle(_ work: Scheduler.Work, drafted: Int, accepted: Int, _ source: DraftSource) {
    guard work.drafts > 0, let sequence = sequences[work.sequence] else { return }
    if drafted > 0 {
      sequence.acceptance[source].record(drafted: drafted, accepted: accepted)
      speculationRecord.acceptance[source].record(drafted: drafted, accepted: accepted)
      counters.draftRounds += 1
    }
    counters.draftedTokens += drafted
    counters.acceptedTokens += accepted
    guard source == .model else { return }
    draft?.settle(
      sequence, computed: work.start + work.count + accepted,
      blocks: scheduler.blocks(of: work.sequence), takings: scheduler.pool.takings)
  }
}
