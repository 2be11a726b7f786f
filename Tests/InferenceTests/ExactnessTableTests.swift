import Foundation
import Inference
import Tensors
import TestModels
import Testing

/// Promise P4 on trained models: 200 prompts, each greedy and seeded, come to the same bytes under
/// every way of computing them. The test prints what it compared.
@Suite("Exactness of trained models", .serialized)
struct ExactnessTableTests {
  /// One way of computing.
  private struct Setting {
    var name: String
    var options: EngineOptions
    /// How often the requests are run on one engine before the run that counts.
    var rounds = 0
    /// Whether requests come in at random steps, with random priorities.
    var isUneven = false
  }

  /// Of all settings, the plainest: one at a time, on one thread, nothing shared.
  private static let reference = EngineOptions(
    maxSequences: 1, maxTokensPerStep: 512, prefillChunk: 512, contextLength: 256, threads: 1,
    cachesPrefixes: false)

  private static func settings(quarter: Int) -> [Setting] {
    func options(_ change: (inout EngineOptions) -> Void) -> EngineOptions {
      var options = EngineOptions(
        maxSequences: 32, prefillChunk: 64, contextLength: 256, threads: 2, cachesPrefixes: false)
      change(&options)
      return options
    }
    var settings = [1, 7, 32].map { batch in
      Setting(name: "batch \(batch)", options: options { $0.maxSequences = batch })
    }
    settings += [16, 64, 512].map { chunk in
      Setting(
        name: "prompt chunk \(chunk == 512 ? "all" : "\(chunk)")",
        options: options { $0.prefillChunk = chunk })
    }
    settings += ["cold", "warm"].enumerated().map { rounds, name in
      Setting(
        name: "prefix cache \(name)", options: options { $0.cachesPrefixes = true }, rounds: rounds)
    }
    settings += (1...3).map { (threads: Int) in
      Setting(name: "threads \(threads)", options: options { $0.threads = threads })
    }
    settings += KernelPath.allCases.filter { $0 != .auto && $0.isSupported }.map { path in
      Setting(name: "kernels \(path.rawValue)", options: options { $0.kernelPath = path })
    }
    settings += [16, 32, 64, 128].map { tokens in
      Setting(name: "blocks of \(tokens)", options: options { $0.kvBlockTokens = tokens })
    }
    settings += [false, true].map { caching in
      Setting(
        name: "a quarter of the memory, prefix cache \(caching ? "on" : "off")",
        options: options {
          $0.kvBlockTokens = 16
          $0.kvCacheBytes = quarter
          $0.cachesPrefixes = caching
        }, isUneven: true)
    }
    return settings
  }

  /// What came of one setting.
  private struct Row: Sendable {
    var name: String
    var equal: Int
    var statistics: EngineStatistics
    /// Whether sequences had to be pushed aside, and whether something had to be found.
    var mustPreempt: Bool
    var mustFind: Bool
  }

  /// What came of one model.
  private struct Comparison: Sendable {
    var requests = 0
    var outputs = 0
    var tokens = 0
    var rows: [Row] = []

    func text(_ name: String) -> String {
      let rows = rows.map { row in
        column(row.equal, 7) + column(row.statistics.preemptions, 14)
          + column(row.statistics.prefixHitTokens, 14) + "  " + row.name
      }
      let head = [
        "\(name): \(requests) requests, \(outputs) different outputs, \(tokens) tokens of output",
        "  equal  pushed aside  found tokens  setting",
      ]
      return (head + rows).joined(separator: "\n")
    }
  }

  @Test(
    "200 prompts, greedy and seeded, have the same bytes in every setting",
    arguments: TrainedModels.targets)
  func table(path: String) async throws {
    let found = try await onThreadOfItsOwn { try Self.compare(path) }
    print(found.text(URL(fileURLWithPath: path).lastPathComponent))
    #expect(found.requests == 400 && found.outputs > 250 && found.tokens > 4_000)
    for row in found.rows {
      #expect(row.equal == found.requests, "\(row.name)")
      #expect(!row.mustPreempt || row.statistics.preemptions > 0, "\(row.name)")
      #expect(!row.mustFind || row.statistics.prefixHitTokens > 0, "\(row.name)")
    }
  }

  private static func compare(_ path: String) throws -> Comparison {
    let model = try LanguageModel.load(path: path)
    let requests = try TalePrompts.requests(model, count: 200)
    let expected = try generate(Engine(model: model, options: Self.reference), requests)
    var comparison = Comparison(
      requests: expected.count, outputs: Set(expected.values.map(\.tokens)).count,
      tokens: expected.values.reduce(0) { $0 + $1.tokens.count })
    // What 32 sequences of this length hold, by the blocks of 16 tokens that they fill.
    let longest = requests.map { $0.promptTokens.count + $0.options.maxTokens }.max() ?? 0
    let blocks = max((longest + 15) / 16 * 32 / 4, 256 / 16)
    let probe = try Engine(
      model: model, options: EngineOptions(contextLength: 256, kvBlockTokens: 16))
    for setting in Self.settings(quarter: blocks * probe.statistics.kvBlockBytes) {
      let (results, statistics) = try Self.run(setting, model, requests)
      comparison.rows.append(
        Row(
          name: setting.name,
          equal: requests.count { results[$0.sequence] == expected[$0.sequence] },
          statistics: statistics, mustPreempt: setting.isUneven, mustFind: setting.rounds > 0))
    }
    return comparison
  }

  private static func run(
    _ setting: Setting, _ model: LanguageModel, _ requests: [GenerationRequest]
  ) throws -> (results: [UInt64: Generation], statistics: EngineStatistics) {
    let engine = try Engine(model: model, options: setting.options)
    guard setting.isUneven else {
      for _ in 0..<setting.rounds { _ = try generate(engine, requests) }
      return (try generate(engine, requests), engine.statistics)
    }
    var numbers = SeededNumbers(seed: 11)
    var late = requests.shuffled(using: &numbers)[...]
    var results: [UInt64: Generation] = [:]
    while engine.hasWork || !late.isEmpty {
      while var next = late.first, engine.canAdmit(next) {
        late.removeFirst()
        next.priority = Int.random(in: 0...3, using: &numbers)
        try engine.add(next)
        guard Int.random(in: 0..<3, using: &numbers) > 0 else { break }
      }
      for output in try engine.step() {
        results[output.sequence, default: Generation()].take(output)
      }
    }
    return (results, engine.statistics)
  }
}
