import Tensors

extension Engine {
  /// What is to be drafted in a step.
  struct DraftPlan {
    /// How many tokens each sequence would like to draft; none where it is not in here.
    var counts: [UInt64: Int] = [:]
    /// The tokens of those that found them in their own text.
    var found: [UInt64: [Int32]] = [:]
  }

  /// What speculation has brought so far, over all sequences.
  struct SpeculationRecord {
    /// By who drafted.
    var model = AcceptanceRate()
    var lookup = AcceptanceRate()
    /// What steps cost that held no prompt tokens.
    var cost = StepCost()
    /// What a drafted token is expected to be worth while nothing is known.
    static let prior = 0.6

    /// The chance of a drafted token, as far as it is known without looking at its sequence.
    func chance(fromModel: Bool) -> Double {
      (fromModel ? model : lookup).estimate(prior: Self.prior)
    }
  }

  /// Decides how many tokens to draft for the sequences that wait for one.
  func planDrafts() -> DraftPlan {
    var plan = DraftPlan()
    let waiting = scheduler.decoding
    var candidates: [(id: UInt64, candidate: DraftPlanner.Candidate)] = []
    let pays = mayPay(decoding: waiting.count)
    for id in waiting {
      guard let sequence = sequences[id] else { continue }
      let speculation = sequence.request.speculation
      guard speculation.method != .off, speculation.tokens != nil || pays else { continue }
      let most = speculation.tokens ?? Self.mostAutomaticTokens
      var found: [Int32] = []
      if speculation.method != .draft {
        found = Array(PromptLookup.draft(scheduler.tokens(of: id), count: most))
        if !found.isEmpty { plan.found[id] = found }
      }
      let usesModel = found.isEmpty && draft != nil && speculation.method != .lookup
      let count = usesModel ? most : found.count
      guard count > 0 else { continue }
      if speculation.tokens != nil {
        plan.counts[id] = count
      } else {
        let rate = usesModel ? sequence.modelAcceptance : sequence.lookupAcceptance
        candidates.append(
          (
            id,
            DraftPlanner.Candidate(
              acceptance: rate.estimate(prior: speculationRecord.chance(fromModel: usesModel)),
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

  /// The most tokens of a round where the engine chooses.
  private static let mostAutomaticTokens = 8

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
        drafts[index] = Array(found.prefix(work.drafts))
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
  func settle(_ work: Scheduler.Work, drafted: Int, accepted: Int, found: Bool) {
    guard work.drafts > 0, let sequence = sequences[work.sequence] else { return }
    if drafted > 0 {
      if found {
        sequence.lookupAcceptance.record(drafted: drafted, accepted: accepted)
        speculationRecord.lookup.record(drafted: drafted, accepted: accepted)
      } else {
        sequence.modelAcceptance.record(drafted: drafted, accepted: accepted)
        speculationRecord.model.record(drafted: drafted, accepted: accepted)
      }
    }
    counters.draftRounds += drafted > 0 ? 1 : 0
    counters.draftedTokens += drafted
    counters.acceptedTokens += accepted
    guard !found else { return }
    draft?.settle(
      sequence, computed: work.start + work.count + accepted,
      blocks: scheduler.blocks(of: work.sequence), takings: scheduler.pool.takings)
  }
}
