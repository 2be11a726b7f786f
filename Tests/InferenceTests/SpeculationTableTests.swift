import Foundation
import Inference
import TestModels
import Testing

/// Promise P5 on trained models: 250 prompts, each greedy and in some strategy with settings of its
/// own, come to the same tokens, text and log-probabilities whoever drafts for them, and however much.
/// The test prints what it compared.
@Suite("Exactness of speculation", .serialized)
struct SpeculationTableTests {
  /// A way of drafting.
  private struct Setting {
    var name: String
    var speculation: (Int) -> Speculation
    var draft: LanguageModel?
    /// Whether the cache holds a part of what the load wants.
    var isTight = false
    /// What steps are taken to cost, of so many tokens; measured where it is nil.
    var cost: ((Int) -> Double)?
  }

  private struct Row: Sendable {
    var name: String
    var equal: Int
    var statistics: EngineStatistics
  }

  private struct Comparison: Sendable {
    var requests = 0
    var outputs = 0
    var rows: [Row] = []

    func text(_ name: String) -> String {
      let rows = rows.map { row in
        column(row.equal, 7) + column(row.statistics.steps, 7)
          + column(row.statistics.draftRounds, 8) + column(row.statistics.draftedTokens, 9)
          + column(row.statistics.acceptedTokens, 10) + "  " + row.name
      }
      let head = [
        "\(name): \(requests) requests, \(outputs) different outputs",
        "  equal  steps  rounds  drafted  accepted  setting",
      ]
      return (head + rows).joined(separator: "\n")
    }
  }

  @Test(
    "500 outputs have the same bytes with and without speculation", arguments: TrainedModels.targets
  )
  func table(path: String) async throws {
    let found = try await onThreadOfItsOwn { try Self.compare(path) }
    print(found.text(URL(fileURLWithPath: path).lastPathComponent))
    #expect(found.requests == 500 && found.outputs > 300)
    let plain = try #require(found.rows.first)
    #expect(plain.statistics.draftedTokens == 0)
    for row in found.rows {
      #expect(row.equal == found.requests, "\(row.name)")
      // Whoever guesses right now and then saves steps.
      let guesses = ["draft", "both", "what would"].contains { row.name.hasPrefix($0) }
      guard guesses else { continue }
      #expect(row.statistics.acceptedTokens > row.statistics.draftedTokens / 10, "\(row.name)")
      #expect(row.statistics.steps < plain.statistics.steps, "\(row.name)")
    }
  }

  private static func settings(_ good: LanguageModel, bad: LanguageModel) -> [Setting] {
    var settings: [Setting] = [Setting(name: "off", speculation: { _ in .off })]
    for method in [Speculation.Method.draft, .lookup, .both] {
      settings += (1...8).map { (tokens: Int) in
        Setting(
          name: "\(method.rawValue), \(tokens) tokens",
          speculation: { _ in Speculation(method, tokens: tokens) }, draft: good)
      }
    }
    settings += [1, 4, 8].map { (tokens: Int) in
      Setting(
        name: "a bad draft, \(tokens) tokens",
        speculation: { _ in Speculation(.draft, tokens: tokens) }, draft: bad)
    }
    // Each sequence in a way of its own.
    let mixed = { (number: Int) -> Speculation in
      let methods = Speculation.Method.allCases
      return Speculation(
        methods[number % methods.count], tokens: number % 3 == 0 ? nil : number % 16 + 1)
    }
    settings += [
      Setting(name: "what pays", speculation: { _ in .automatic }, draft: good),
      Setting(
        name: "what would pay, cheap steps", speculation: { _ in .automatic }, draft: good,
        cost: { 1 + 0.001 * Double($0) }),
      Setting(
        name: "what would pay, dear steps", speculation: { _ in .automatic }, draft: good,
        cost: { 1 + 0.04 * Double($0) }),
      Setting(name: "mixed", speculation: mixed, draft: good, cost: { 1 + 0.02 * Double($0) }),
      Setting(
        name: "mixed, little memory", speculation: mixed, draft: good, isTight: true,
        cost: { 1 + 0.02 * Double($0) }),
    ]
    return settings
  }

  private static func compare(_ path: String) throws -> Comparison {
    let model = try LanguageModel.load(path: path)
    // Where there is no smaller model of the same vocabulary, the model drafts for itself.
    let small = try LanguageModel.load(path: TrainedModels.draft)
    let isPair = small.vocabularyFingerprint == model.vocabularyFingerprint
    let badPath = try badCopy(of: isPair ? TrainedModels.draft : path)
    defer { try? FileManager.default.removeItem(atPath: badPath) }
    let bad = try LanguageModel.load(path: badPath)
    let requests = try TalePrompts.requestsOfAllStrategies(model, count: 250)
    var comparison = Comparison(requests: requests.count)
    var expected: [UInt64: Generation] = [:]
    for setting in settings(isPair ? small : model, bad: bad) {
      let (results, statistics) = try run(setting, model, requests)
      if comparison.rows.isEmpty {
        expected = results
        comparison.outputs = Set(expected.values.map(\.tokens)).count
      }
      comparison.rows.append(
        Row(
          name: setting.name,
          equal: requests.count { results[$0.sequence] == expected[$0.sequence] },
          statistics: statistics))
    }
    return comparison
  }

  private static func run(
    _ setting: Setting, _ model: LanguageModel, _ requests: [GenerationRequest]
  ) throws -> (results: [UInt64: Generation], statistics: EngineStatistics) {
    var options = EngineOptions(
      maxSequences: 16, contextLength: 256, threads: 2, kvBlockTokens: 16)
    if setting.isTight {
      let probe = try Engine(model: model, draft: setting.draft, options: options)
      // As little as the widest search needs.
      let needed = requests.map { request in
        let tokens = request.promptTokens.count + request.options.maxTokens
        return request.options.places * ((tokens + 15) / 16 + 1)
      }
      options.kvCacheBytes = probe.statistics.kvBlockBytes * max(needed.max() ?? 0, 256 / 16)
      options.cachesPrefixes = false
    }
    let engine = try Engine(model: model, draft: setting.draft, options: options)
    if let cost = setting.cost {
      engine.assume(Engine.AssumedCosts(step: cost, pass: { 0.001 * Double($0) }))
    }
    let drafting = requests.map { request in
      var request = request
      request.speculation = setting.speculation(Int(request.sequence))
      return request
    }
    return (try generate(engine, drafting), engine.statistics)
  }

  /// A copy of a model that guesses badly: its first two layers have changed places.
  private static func badCopy(of path: String) throws -> String {
    var bytes = try Data(contentsOf: URL(fileURLWithPath: path))
    func rename(_ old: String, _ new: String) {
      while let place = bytes.firstRange(of: Data(old.utf8)) {
        bytes.replaceSubrange(place, with: Data(new.utf8))
      }
    }
    rename("blk.0.", "blk.X.")
    rename("blk.1.", "blk.0.")
    rename("blk.X.", "blk.1.")
    let copy = FileManager.default.temporaryDirectory
      .appendingPathComponent("bad-draft-\(UUID().uuidString).gguf")
    try bytes.write(to: copy)
    return copy.path
  }
}
