import Tensors

extension Engine {
  /// What is to be drafted in a step.
  struct DraftPlan {
    /// How many tokens each sequence would like to draft; none where it is not in here.
    var counts: [UInt64: Int] = [:]
    /// What those found that draft from their own text.
    var found: [UInt64: PromptLookup.Found] = [:]
    /// When the draft model is worth running further, where the engine chooses.
    var worth = DraftPlanner.Worth(leastChance: 0, passCost: 0)
  }

  /// What speculation has brought so far, over all sequences.
  struct SpeculationRecord {
    /// How often drafted tokens were accepted.
    var acceptance = AcceptanceRates(tokens: 200)
    /// How sure the draft model is of its tokens.
    var shares = ConfidenceShares()
    /// What steps cost that held no prompt tokens.
    var cost = StepCost()
    var assumed: AssumedCosts?

    /// The chance of a drafted token, as far as it is known without looking at its sequence.
    func chance(_ source: DraftSource) -> Double {
      acceptance.estimate(source, prior: source.prior)
    }
  }

  /// Costs to plan with instead of measured ones, so that plans do not depend on the machine.
  package struct AssumedCosts {
    /// Seconds of a step of so many tokens.
    package var step: (Int) -> Double
    /// Seconds of a pass of the draft model over so many sequences.
    package var pass: (Int) -> Double

    package init(step: @escaping (Int) -> Double, pass: @escaping (Int) -> Double) {
      self.step = step
      self.pass = pass
    }
  }

  /// Lets the engine choose how much to draft as if steps cost this.
  package func assume(_ costs: AssumedCosts) { speculationRecord.assumed = costs }

  /// The chance of a sequence's drafted token if those before it are accepted.
  private func chance(_ source: DraftSource, _ sequence: RunningSequence) -> Double {
    sequence.acceptance.estimate(source, prior: speculationRecord.chance(source))
  }

  /// Seconds of a step of so many tokens; `nil` while nothing is known.
  private func knownSeconds(_ tokens: Int) -> Double? {
    speculationRecord.assumed?.step(tokens) ?? speculationRecord.cost.seconds(tokens: tokens)
  }

  private func stepSeconds(_ tokens: Int) -> Double { knownSeconds(tokens) ?? 1 }

  private func passSeconds(_ sequences: Int) -> Double {
    speculationRecord.assumed?.pass(sequences) ?? draft?.cost.seconds(tokens: sequences) ?? 0
  }

  /// Decides how many tokens may be drafted for the sequences that wait for one.
  func planDrafts() -> DraftPlan {
    var plan = DraftPlan()
    let waiting = scheduler.decoding
    let pays = mayPay(decoding: waiting.count)
    var open: [(id: UInt64, sequence: RunningSequence)] = []
    for id in waiting {
      guard let sequence = sequences[id], sequence.request.options.mayDraft,
        sequence.owner.unbegun.isEmpty
      else { continue }
      let speculation = sequence.request.speculation
      guard speculation.method != .off, speculation.tokens != nil || pays else { continue }
      if speculation.method != .draft {
        let most = speculation.tokens ?? Self.mostAutomaticTokens
        let found = PromptLookup.draft(scheduler.tokens(of: id), count: most)
        if !found.tokens.isEmpty { plan.found[id] = found }
      }
      if let tokens = speculation.tokens {
        let usesModel = speculation.method != .lookup && canDraft(id, sequence)
        let count = plan.found[id]?.tokens.count ?? (usesModel ? tokens : 0)
        if count > 0 { plan.counts[id] = count }
      } else {
        open.append((id, sequence))
      }
    }
    if !open.isEmpty { choose(open, decoding: waiting.count, &plan) }
    return plan
  }

  /// Decides for the sequences for which it is left to the engine.
  private func choose(
    _ open: [(id: UInt64, sequence: RunningSequence)], decoding: Int, _ plan: inout DraftPlan
  ) {
    let fixed = plan.counts.values.reduce(0, +)
    let base = decoding + fixed
    plan.worth = DraftPlanner.Worth(
      base: base, drafting: open.count, step: stepSeconds, pass: passSeconds)
    let chances = open.map { id, sequence in
      let usesModel = sequence.request.speculation.method != .lookup && canDraft(id, sequence)
      let wishes = usesModel ? wishes(of: sequence, plan.worth) : []
      guard let found = plan.found[id] else { return wishes }
      let own = chance(DraftSource(match: found.match), sequence)
      // What is found costs nothing.
      let model = speculationRecord.shares.mean { chance($0, sequence) } - plan.worth.passCost
      guard !wishes.isEmpty, model > own else { return Self.powers(of: own, found.tokens.count) }
      plan.found[id] = nil
      return wishes
    }
    let counts = DraftPlanner.plan(
      chances, base: base, output: Double(decoding), budget: scheduler.limits.drafts - fixed,
      step: stepSeconds)
    for (each, count) in zip(open, counts) where count > 0 { plan.counts[each.id] = count }
  }

  /// Whether there is a draft model that can draft for a sequence.
  private func canDraft(_ id: UInt64, _ sequence: RunningSequence) -> Bool {
    draft?.canDraft(draftRequest(id, sequence, count: 1), takings: scheduler.pool.takings) ?? false
  }

  private func draftRequest(
    _ id: UInt64, _ sequence: RunningSequence, count: Int
  ) -> DraftModel.Request {
    DraftModel.Request(
      sequence: sequence, tokens: scheduler.tokens(of: id), blocks: scheduler.blocks(of: id),
      count: count)
  }

  /// The chances of as many tokens of the draft model as would pay if it were sure of each.
  private func wishes(of sequence: RunningSequence, _ worth: DraftPlanner.Worth) -> [Double] {
    let sure = DraftSource.models.map { chance($0, sequence) }.max() ?? 0
    return Self.powers(of: sure, Self.mostModelTokens).prefix { chance in
      worth.allows(behind: chance / sure, shares: speculationRecord.shares) {
        self.chance($0, sequence)
      }
    }
  }

  private static func powers(of chance: Double, _ count: Int) -> [Double] {
    (0..<count).reduce(into: []) { powers, _ in powers.append((powers.last ?? 1) * chance) }
  }

  /// The most tokens of a round where the engine chooses, and the most of those from the draft model,
  /// which has to be run for each.
  private static let mostAutomaticTokens = Speculation.maximumTokens
  private static let mostModelTokens = 8

  /// Whether tokens would pay that are nearly sure to be accepted: if not, nobody need look for any.
  private func mayPay(decoding: Int) -> Bool {
    let more = min(Self.mostAutomaticTokens * decoding, scheduler.limits.drafts)
    guard decoding > 0, let now = knownSeconds(decoding), let then = knownSeconds(decoding + more)
    else { return false }
    return Double(decoding + more) / then > Double(decoding) / now
  }

  /// The drafted tokens of each work, no more than it has room for, and where the engine chooses no
  /// more than pay.
  func makeDrafts(_ works: [Scheduler.Work], _ plan: DraftPlan) -> [[DraftedToken]] {
    let start = ContinuousClock.now
    var drafts: [[DraftedToken]] = Array(repeating: [], count: works.count)
    var requests: [DraftModel.Request] = []
    var places: [Int] = []
    for (index, work) in works.enumerated() where work.drafts > 0 {
      if let found = plan.found[work.sequence] {
        let source = DraftSource(match: found.match)
        drafts[index] = found.tokens.prefix(work.drafts).map { DraftedToken($0, source) }
      } else if let sequence = sequences[work.sequence] {
        requests.append(draftRequest(work.sequence, sequence, count: work.drafts))
        places.append(index)
      }
    }
    if let draft, !requests.isEmpty {
      let made = draft.draft(requests, takings: scheduler.pool.takings) { request, drafted in
        goesOn(request.sequence, drafted, plan.worth)
      }
      for (place, tokens) in zip(places, made) { drafts[place] = tokens }
    }
    if requests.isEmpty, works.contains(where: { !$0.isPrefill }) {
      draft?.passOver()
      speculationRecord.shares.fade()
    }
    let assumed = speculationRecord.assumed.map { costs in
      costs.pass(requests.count) * Double(places.map { drafts[$0].count }.max() ?? 0)
    }
    cut(&drafts, works, spent: assumed ?? (ContinuousClock.now - start) / .seconds(1))
    return drafts
  }

  /// Whether the draft model is to be run for one more token.
  private func goesOn(
    _ sequence: RunningSequence, _ drafted: [DraftedToken], _ worth: DraftPlanner.Worth
  ) -> Bool {
    if let last = drafted.last { speculationRecord.shares.record(last.source) }
    guard sequence.request.speculation.tokens == nil else { return true }
    let behind = drafted.reduce(1) { $0 * chance($1.source, sequence) }
    return worth.allows(behind: behind, shares: speculationRecord.shares) {
      chance($0, sequence)
    }
  }

  /// Leaves out the tokens that are not worth verifying, now that it is known how sure each is.
  private func cut(_ drafts: inout [[DraftedToken]], _ works: [Scheduler.Work], spent: Double) {
    var places: [Int] = []
    var chances: [[Double]] = []
    for (index, work) in works.enumerated() where !drafts[index].isEmpty {
      guard let sequence = sequences[work.sequence], sequence.request.speculation.tokens == nil
      else { continue }
      places.append(index)
      chances.append(
        drafts[index].reduce(into: []) {
          $0.append(($0.last ?? 1) * chance($1.source, sequence))
        })
    }
    guard !places.isEmpty else { return }
    let open = places.reduce(0) { $0 + drafts[$1].count }
    let known = works.reduce(0) { $0 + $1.count }
    let fixed = drafts.reduce(0) { $0 + $1.count } - open
    let counts = DraftPlanner.plan(
      chances, base: known + fixed, output: Double(works.count(where: \.isLast)), budget: open,
      spent: spent, step: stepSeconds)
    for (place, count) in zip(places, counts) {
      drafts[place].removeSubrange(count...)
    }
  }

  /// Takes note of what became of a work's drafted tokens, of which those are accepted that were chosen
  /// and are not the last.
  func settle(_ decision: Decision, chosen: [Int32]) {
    let (work, drafted, accepted) = (decision.work, decision.drafts, max(chosen.count - 1, 0))
    guard work.drafts > 0, let sequence = sequences[work.sequence] else { return }
    if !drafted.isEmpty { counters.draftRounds += 1 }
    counters.draftedTokens += drafted.count
    counters.acceptedTokens += accepted
    for (each, token) in zip(drafted, chosen) {
      sequence.acceptance.record(each.source, accepted: each.token == token)
      speculationRecord.acceptance.record(each.source, accepted: each.token == token)
    }
    guard decision.usesModel else { return }
    draft?.settle(
      sequence, computed: work.start + work.count + accepted,
      blocks: scheduler.blocks(of: work.sequence), takings: scheduler.pool.takings)
  }
}
