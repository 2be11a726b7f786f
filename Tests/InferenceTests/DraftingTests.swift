import Inference
import Tensors
import TestModels
import Testing

@Suite("Drafting")
struct DraftingTests {
  @Test("Lookup continues the longest match, of equals the latest")
  func lookup() {
    let draft = { (tokens: [Int32], count: Int) in
      Array(PromptLookup.draft(tokens, count: count).tokens)
    }
    #expect(draft([1, 2, 3, 4, 9, 1, 2], 3) == [3, 4, 9])
    #expect(draft([1, 2, 3, 8, 1, 2, 4, 8, 1, 2], 2) == [4, 8])
    // The longer match is the earlier one.
    #expect(draft([7, 1, 2, 3, 8, 1, 2, 4, 7, 1, 2], 1) == [3])
    // Of equally long ones the latest has less to give than is wanted.
    #expect(draft([5, 6, 5, 6, 5, 6], 2) == [5, 6])
    #expect(draft([1, 1, 1, 1, 1], 2) == [1])
    #expect(draft(Array(repeating: 1, count: 20), 4) == [1, 1, 1, 1])
  }

  @Test("Lookup tells how much was the same")
  func match() {
    #expect(PromptLookup.draft([1, 2, 3, 4, 9, 1, 2], count: 3).match == 2)
    #expect(PromptLookup.draft([1, 2, 3, 9, 1, 2, 3], count: 3).match == 3)
    #expect(PromptLookup.draft(Array(repeating: 1, count: 20), count: 3).match == 8)
    #expect(DraftSource(match: 2) == .shortMatch && DraftSource(match: 4) == .middleMatch)
    #expect(DraftSource(match: 8) == .longMatch)
  }

  @Test("Lookup finds nothing where nothing repeats")
  func nothing() {
    for tokens in [[], [1], [1, 1], [1, 2, 3, 4], [1, 5, 2, 5]] as [[Int32]] {
      #expect(PromptLookup.draft(tokens, count: 4).tokens.isEmpty, "\(tokens)")
    }
    #expect(PromptLookup.draft([1, 2, 3, 1, 2], count: 0).tokens.isEmpty)
  }

  @Test("Lookup is the plain search, over random texts")
  func plainSearch() {
    var numbers = SeededNumbers(seed: 5)
    for _ in 0..<2_000 {
      let tokens = (0..<Int.random(in: 0...40, using: &numbers)).map { _ in
        Int32.random(in: 0...2, using: &numbers)
      }
      let count = Int.random(in: 1...5, using: &numbers)
      #expect(
        Array(PromptLookup.draft(tokens, count: count).tokens) == Self.search(tokens, count: count),
        "\(tokens), \(count)")
    }
  }

  /// Every earlier place, by length of the match, then by what it can give, then by how late it is.
  private static func search(_ tokens: [Int32], count: Int) -> [Int32] {
    var best: (rank: [Int], continuation: [Int32]) = ([], [])
    for end in 0..<max(tokens.count - 1, 0) {
      let before = tokens[...end]
      let match = zip(before.reversed(), tokens.reversed()).prefix { $0 == $1 }.count
      let counted = min(match, PromptLookup.mostMatch)
      guard counted >= PromptLookup.leastMatch else { continue }
      let given = Array(tokens[(end + 1)...].prefix(count))
      let rank = [counted, given.count, end]
      if best.rank.lexicographicallyPrecedes(rank) { best = (rank, given) }
    }
    return best.continuation
  }

  @Test("An acceptance rate begins with what others have and comes to its own")
  func acceptance() {
    var rate = AcceptanceRate(tokens: 50)
    #expect(rate.estimate(prior: 0.6) == 0.6)
    for _ in 0..<500 { rate.record(accepted: true) }
    #expect(rate.estimate(prior: 0.6) > 0.95)
    for _ in 0..<500 { rate.record(accepted: false) }
    #expect(rate.estimate(prior: 0.6) < 0.15)
    for index in 0..<500 { rate.record(accepted: index % 2 == 0) }
    #expect(abs(rate.estimate(prior: 0.5) - 0.5) < 0.01)
    // Of what is not tried for long, nothing is known in the end.
    for _ in 0..<5_000 { rate.fade() }
    #expect(rate.estimate(prior: 0.9) > 0.89)
  }

  @Test("A source that is not tried any more is forgotten, whatever others do")
  func sources() {
    let (good, bad) = (DraftSource(match: 8), DraftSource(match: 2))
    var rates = AcceptanceRates(tokens: 50)
    for _ in 0..<100 {
      rates.record(good, accepted: true)
      rates.record(bad, accepted: false)
      rates.endStep()
    }
    #expect(rates.estimate(good, prior: 0.6) > 0.9 && rates.estimate(bad, prior: 0.6) < 0.1)
    for _ in 0..<5_000 {
      rates.record(good, accepted: true)
      rates.endStep()
    }
    #expect(rates.estimate(good, prior: 0.6) > 0.9 && rates.estimate(bad, prior: 0.6) > 0.59)
  }

  @Test("A draft model's tokens are told apart by how sure it is, and taken at its word at first")
  func confidence() {
    let sources = [0, 0.12, 0.45, 0.6, 1].map { DraftSource(probability: $0) }
    #expect(Set(sources).count == sources.count)
    #expect(sources.map(\.prior) == sources.map(\.prior).sorted())
    for (source, probability) in zip(sources, [0, 0.12, 0.45, 0.6, 1]) {
      #expect(abs(source.prior - probability) <= 0.15)
    }
    #expect(DraftSource(probability: .nan) == DraftSource(probability: 0))
    #expect(Set(DraftSource.models).count == DraftSource.models.count)
  }

  @Test("The mean over what may come is by how often it came")
  func shares() {
    var shares = ConfidenceShares()
    let sure = DraftSource(probability: 1)
    let even = shares.mean { $0 == sure ? 1 : 0 }
    #expect(abs(even - 1 / Double(DraftSource.models.count)) < 1e-9)
    for _ in 0..<5_000 { shares.record(sure) }
    #expect(shares.mean { $0 == sure ? 1 : 0 } > 0.99)
    for index in 0..<5_000 { shares.record(index % 2 == 0 ? sure : DraftSource(probability: 0)) }
    #expect(abs(shares.mean { $0 == sure ? 1 : 0 } - 0.5) < 0.01)
    // A model that is never sure is run again some time, as it may be sure of another text.
    for _ in 0..<5_000 { shares.record(DraftSource(probability: 0)) }
    let worth = DraftPlanner.Worth(leastChance: 0.5, passCost: 0.01)
    func allows() -> Bool { worth.allows(behind: 1, shares: shares, acceptance: \.prior) }
    #expect(!allows())
    for _ in 0..<5_000 { shares.fade() }
    #expect(allows())
  }

  @Test("Costs are what was measured, between places in proportion, and forgotten in time")
  func cost() throws {
    var cost = StepCost()
    #expect(cost.seconds(tokens: 1) == nil)
    for _ in 0..<20 { cost.record(tokens: 4, seconds: 0.04) }
    #expect(abs(try #require(cost.seconds(tokens: 4)) - 0.04) < 1e-9)
    #expect(try #require(cost.seconds(tokens: 5)) > 0.04)
    #expect(try #require(cost.seconds(tokens: 1)) < 0.04)
    for _ in 0..<20 { cost.record(tokens: 8, seconds: 0.08) }
    #expect(abs(try #require(cost.seconds(tokens: 6)) - 0.06) < 1e-9)
    // A hiccup at twelve tokens, then only steps of four.
    cost.record(tokens: 12, seconds: 10)
    #expect(abs(try #require(cost.seconds(tokens: 12)) - 10) < 1e-9)
    for _ in 0..<600 { cost.record(tokens: 4, seconds: 0.04) }
    #expect(try #require(cost.seconds(tokens: 12)) < 0.1)
    // One that is tried again is known at once.
    cost.record(tokens: 12, seconds: 10)
    cost.record(tokens: 12, seconds: 0.1)
    #expect(abs(try #require(cost.seconds(tokens: 12)) - 0.1) < 1e-9)
  }

  @Test("Where a machine slows down, what a further token costs is told apart from that")
  func pace() throws {
    var cost = StepCost()
    var numbers = SeededNumbers(seed: 6)
    for _ in 0..<100 {
      cost.record(tokens: 16, seconds: 0.06)
      cost.record(tokens: 20, seconds: 0.068)
    }
    // A fifth slower from now on; of those of 20 tokens there are few.
    for index in 0..<100 {
      let noise = Double.random(in: 0.98...1.02, using: &numbers)
      cost.record(tokens: 16, seconds: 0.072 * noise)
      if index % 20 == 10 { cost.record(tokens: 20, seconds: 0.0816 * noise) }
    }
    let (few, more) = (
      try #require(cost.seconds(tokens: 16)), try #require(cost.seconds(tokens: 20))
    )
    #expect(abs(few - 0.072) < 0.003)
    #expect(abs(more / few - 0.068 / 0.06) < 0.03)
  }

  @Test("After slow times of any number and strength all is as it was")
  func recovery() throws {
    var cost = StepCost()
    for _ in 0..<100 {
      cost.record(tokens: 16, seconds: 0.06)
      cost.record(tokens: 20, seconds: 0.068)
    }
    for episode in 0..<3_000 {
      let slow = [1.5, 2, 4][episode % 3]
      for _ in 0..<20 { cost.record(tokens: 16, seconds: 0.06 * slow) }
      for _ in 0..<60 { cost.record(tokens: 16, seconds: 0.06) }
      // Measured now and then, as it is when it pays.
      if episode % 4 == 0 { cost.record(tokens: 20, seconds: 0.068) }
      let (few, more) = (
        try #require(cost.seconds(tokens: 16)), try #require(cost.seconds(tokens: 20))
      )
      try #require(abs(few - 0.06) < 0.001 && abs(more / few - 0.068 / 0.06) < 0.1, "\(episode)")
    }
  }

  /// Plans where each sequence's tokens are accepted with the same chance.
  private func plan(
    _ acceptance: [Double], budget: Int = 64, spent: Double = 0, step: (Int) -> Double
  ) -> [Int] {
    DraftPlanner.plan(
      acceptance.map { each in
        (0..<8).reduce(into: []) { powers, _ in powers.append((powers.last ?? 1) * each) }
      },
      base: acceptance.count, budget: budget, spent: spent, step: step)
  }

  @Test("Where more tokens cost nothing, all that may be accepted are verified")
  func free() {
    #expect(plan([0.9, 0.9], step: { _ in 1 }) == [8, 8])
    #expect(plan([0.9, 0.9], budget: 5, step: { _ in 1 }).reduce(0, +) == 5)
    #expect(DraftPlanner.plan([], base: 3, budget: 5, step: { _ in 1 }) == [])
  }

  @Test("Where every token costs as much as the first, none is verified")
  func dear() {
    #expect(plan([0.9, 0.5, 0.99], step: { Double($0) }) == [0, 0, 0])
    // But what drafting took is gone: the longer the step is for it, the more pays.
    #expect(plan([0.9, 0.5, 0.99], spent: 3, step: { Double($0) }) != [0, 0, 0])
  }

  @Test("Likely tokens are verified before unlikely ones, of whichever sequence")
  func ranking() {
    let counts = plan([0.9, 0.2], step: { 1 + 0.1 * Double($0) })
    #expect(counts[0] >= 3 && counts[1] <= 1 && counts[0] > counts[1])
    let known = DraftPlanner.plan(
      [[0.99, 0.98, 0.1], [0.2, 0.19], [0.97]], base: 3, budget: 64,
      step: { 1 + 0.2 * Double($0) })
    #expect(known == [2, 0, 1])
  }

  @Test("A dear draft model is left alone, and one that cannot pay")
  func dearDraft() {
    func allows(_ worth: DraftPlanner.Worth, behind chance: Double = 1) -> Bool {
      worth.allows(behind: chance, shares: ConfidenceShares(), acceptance: \.prior)
    }
    func worth(pass: Double, slope: Double) -> DraftPlanner.Worth {
      DraftPlanner.Worth(
        base: 2, drafting: 2, step: { 1 + slope * Double($0) }, pass: { pass * Double($0) })
    }
    #expect(allows(worth(pass: 0.01, slope: 0.01)))
    #expect(!allows(worth(pass: 0.9, slope: 0.01)))
    #expect(!allows(worth(pass: 0.01, slope: 100)))
    // What is behind unlikely tokens is unlikely.
    #expect(!allows(worth(pass: 0.01, slope: 0.01), behind: 0.01))
  }

  @Test("A plan is the best of all plans, on small ones")
  func best() {
    var numbers = SeededNumbers(seed: 3)
    for _ in 0..<200 {
      let chances = (0..<2).map { _ in Double.random(in: 0...1, using: &numbers) }
      let slope = Double.random(in: 0...1, using: &numbers)
      let step = { (tokens: Int) in 1 + slope * Double(tokens) }
      let rate = { (counts: [Int]) -> Double in
        let output = zip(chances, counts).reduce(2.0) { output, each in
          output
            + (0..<each.1).reduce((sum: 0.0, chance: 1.0)) { state, _ in
              (state.sum + state.chance * each.0, state.chance * each.0)
            }.sum
        }
        return output / step(2 + counts.reduce(0, +))
      }
      let all = (0...8).flatMap { first in (0...8).map { [first, $0] } }
      let most = all.map(rate).max() ?? 0
      #expect(rate(plan(chances, step: step)) > most * 0.95)
    }
  }

  @Test(
    "A model that drafts for itself is always right, whatever is cut, lost and begun again",
    arguments: ["f32", "int8", "f16,window=4+50"])
  func ownDraft(storage: String) async throws {
    try await onThreadOfItsOwn {
      let model = try LanguageModel.load(
        path: TrainedModels.draft,
        options: LoadOptions(keyValueStorage: try #require(KeyValueStorage(storage))))
      for (tokens, step, isTight) in [
        (1, 0.01, false), (4, 0.01, true), (nil, 0.001, false), (nil, 0.1, true), (nil, 0.1, false),
      ] as [(Int?, Double, Bool)] {
        var options = EngineOptions(
          maxSequences: 6, prefillChunk: 32, contextLength: 512, threads: 2, kvBlockTokens: 16)
        if isTight {
          let probe = try Engine(model: model, draft: model, options: options)
          options.kvCacheBytes =
            probe.statistics.kvBlockBytes * (storage.contains("window") ? 21 : 33)
        }
        let engine = try Engine(model: model, draft: model, options: options)
        engine.assume(
          Engine.AssumedCosts(step: { 1 + step * Double($0) }, pass: { _ in 0.001 }))
        var waiting = try TalePrompts.requests(model, count: 10).map { request in
          var request = request
          request.options.outputs = request.options.temperature > 0 ? 2 : 1
          // Long enough that through a window the first blocks are given back, and then all in some.
          request.options.maxTokens += 170
          // A prompt that is so before anything is drafted.
          if request.sequence % 5 == 0 {
            request.promptTokens += (0..<220).map { Int32(300 + $0 * 31 % 600) }
          }
          request.speculation = Speculation(.draft, tokens: tokens)
          // A text that nobody can guess, so that much is rejected, and has to be forgotten.
          if request.sequence % 4 < 2 {
            request.forcedTokens = (0..<30).map { Int32(300 + $0 * 37 % 600) }
          }
          return request
        }[...]
        while engine.hasWork || !waiting.isEmpty {
          while let request = waiting.first, engine.canAdmit(request) {
            try engine.add(request)
            waiting.removeFirst()
          }
          for output in try engine.step() where output.finish == nil {
            guard output.sequence % 4 > 1 || output.firstIndex > 30 else { continue }
            #expect(output.acceptedTokens == output.draftedTokens)
          }
        }
        #expect(engine.statistics.acceptedTokens > 200, "\(step)")
        #expect(!isTight || engine.statistics.preemptions > 0, "\(step)")
      }
    }
  }

  @Test("A draft of another vocabulary is refused")
  func vocabulary() throws {
    let tiny = try TinyModel().model
    let story = try LanguageModel.load(path: TrainedModels.draft)
    let error = #expect(throws: InferenceError.self) {
      try Engine(model: tiny, draft: story, options: EngineOptions())
    }
    #expect(error?.code == .optionsInvalid && error?.context["field"] == "draft")
  }

  @Test("A draft length out of range is refused", arguments: [0, -1, 17])
  func length(tokens: Int) throws {
    let engine = try Engine(model: try TinyModel().model)
    let error = #expect(throws: InferenceError.self) {
      try engine.add(
        GenerationRequest(
          sequence: 1, promptTokens: [1], speculation: Speculation(.both, tokens: tokens)))
    }
    #expect(error?.context["field"] == "speculation.tokens")
  }
}
