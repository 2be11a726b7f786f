import Inference
import Tensors
import TestModels
import Testing

/// Promise P4 for strategies that take several sequences for one output, or one prompt for several
/// outputs: the same bytes whatever else is in flight and however it is computed.
@Suite("Exactness of strategies", .serialized)
struct StrategyExactnessTests {
  private static let blockTokens = 16

  private static func requests(_ model: LanguageModel) -> [GenerationRequest] {
    var numbers = SeededNumbers(seed: 77)
    return (0..<48).map { index in
      let prompt = (0..<Int.random(in: 1...70, using: &numbers)).map { _ in
        Int32.random(in: 3..<Int32(TinyModel.vocabulary), using: &numbers)
      }
      var options = SamplingOptions(
        maxTokens: Int.random(in: 1...40, using: &numbers), temperature: 1.3,
        repetitionPenalty: index % 5 == 0 ? 1.2 : 1, seed: UInt64(index), logprobs: 2)
      switch index % 4 {
      case 0: options.outputs = 2 + index % 3
      case 1:
        options.strategy = .beam(
          BeamSearchOptions(
            width: 2 + index % 3, lengthPenalty: Float(index % 6) / 2 - 0.5,
            stopsEarly: index % 8 == 1))
        options.outputs = 2
      case 2:
        options.strategy = .contrastive(ContrastiveSearchOptions(topK: 2 + index % 3, alpha: 0.4))
      default: break
      }
      return GenerationRequest(sequence: UInt64(index), promptTokens: prompt, options: options)
    }
  }

  private static func options(_ change: (inout EngineOptions) -> Void) -> EngineOptions {
    var options = EngineOptions(
      maxSequences: 16, prefillChunk: 32, contextLength: 128, threads: 2,
      kvBlockTokens: blockTokens)
    change(&options)
    return options
  }

  /// One request at a time, on one thread, nothing shared between requests.
  private static let reference = options { options in
    options.maxSequences = 4
    options.threads = 1
    options.prefillChunk = 512
    options.cachesPrefixes = false
  }

  private static func settings(tight: Int) -> [(name: String, options: EngineOptions)] {
    var settings = [
      ("16 at a time", options { _ in }), ("32 at a time", options { $0.maxSequences = 32 }),
      ("prompts in parts", options { $0.prefillChunk = 5 }),
      ("three threads", options { $0.threads = 3 }),
      ("large blocks", options { $0.kvBlockTokens = 64 }),
      (
        "little memory",
        options {
          $0.kvCacheBytes = tight
          $0.cachesPrefixes = false
        }
      ), ("little memory, prefixes kept", options { $0.kvCacheBytes = tight }),
    ]
    settings += KernelPath.allCases.filter { $0 != .auto && $0.isSupported }.map { path in
      (path.rawValue, options { $0.kernelPath = path })
    }
    return settings
  }

  @Test("Samples, beams and contrastive searches have the same bytes in every setting")
  func table() throws {
    let tiny = try TinyModel()
    let requests = Self.requests(tiny.model)
    let expected = try generate(Engine(model: tiny.model, options: Self.reference), requests)
    #expect(expected.values.allSatisfy { $0.failure == nil && $0.finish != nil })
    #expect(Set(expected.values.map(\.tokens)).count > 40)
    let probe = try Engine(model: tiny.model, options: Self.options { _ in })
    let tight = probe.statistics.kvBlockBytes * (4 * (112 / Self.blockTokens + 1))
    var preemptions = 0
    for (name, options) in Self.settings(tight: tight) {
      let engine = try Engine(model: tiny.model, options: options)
      let results = try generate(engine, requests)
      for request in requests {
        #expect(
          results[request.sequence] == expected[request.sequence],
          "\(name), \(request.sequence), \(request.options.strategy)")
      }
      #expect(engine.activeSequences == 0 && engine.statistics.kvBlocksInUse == 0)
      preemptions += engine.statistics.preemptions
    }
    #expect(preemptions > 10)
  }

  @Test("What was taken up again goes on to the same outputs", arguments: [0, 1, 3, 9])
  func resumption(cut: Int) throws {
    let tiny = try TinyModel()
    let requests = Self.requests(tiny.model)
    let expected = try generate(Engine(model: tiny.model, options: Self.reference), requests)
    var numbers = SeededNumbers(seed: UInt64(cut))
    let resumed = requests.map { request in
      var request = request
      request.resumedOutputs = (expected[request.sequence]?.outputs ?? []).map { tokens in
        Array(tokens.prefix(Int.random(in: 0...max(cut * 4, 1), using: &numbers)))
      }
      return request
    }
    let results = try generate(Engine(model: tiny.model, options: Self.options { _ in }), resumed)
    for request in resumed {
      let whole = zip(request.resumedOutputs, results[request.sequence]?.outputs ?? []).map(+)
      #expect(whole == expected[request.sequence]?.outputs, "\(request.options.strategy)")
      #expect(results[request.sequence]?.finish == expected[request.sequence]?.finish)
    }
  }

  @Test("Requests that are taken away at any time leave nothing behind")
  func removal() throws {
    let tiny = try TinyModel()
    let requests = Self.requests(tiny.model)
    let expected = try generate(Engine(model: tiny.model, options: Self.reference), requests)
    let engine = try Engine(model: tiny.model, options: Self.options { _ in })
    var numbers = SeededNumbers(seed: 5)
    var removed: Set<UInt64> = []
    let results = try generate(engine, requests) { step in
      let victim = UInt64.random(in: 0..<48, using: &numbers)
      guard step % 4 == 0 else { return }
      engine.remove(victim)
      removed.insert(victim)
    }
    #expect(removed.count > 5)
    for request in requests where !removed.contains(request.sequence) {
      #expect(results[request.sequence] == expected[request.sequence])
    }
    #expect(engine.activeSequences == 0 && engine.statistics.kvBlocksInUse == 0)
  }

  @Test("Samples share the prompt: it is computed once, without a prefix cache too")
  func sharing() throws {
    let tiny = try TinyModel()
    let prompt = (0..<100).map { Int32(3 + $0) }
    let engine = try Engine(model: tiny.model, options: Self.options { $0.cachesPrefixes = false })
    let options = SamplingOptions(
      maxTokens: 10, temperature: 1, seed: 3, outputs: 8, ignoreEnd: true)
    let request = GenerationRequest(sequence: 1, promptTokens: prompt, options: options)
    let found = try #require(try generate(engine, [request])[1])
    #expect(Set(found.outputs).count == 8 && found.outputs.allSatisfy { $0.count == 10 })
    #expect(engine.statistics.prefillTokens == 100)
    #expect(engine.statistics.decodeTokens == 8 * 9)
  }

  @Test("Searches that an engine cannot hold are refused by field")
  func refusals() throws {
    let tiny = try TinyModel()
    let engine = try Engine(
      model: tiny.model,
      options: Self.options {
        $0.maxSequences = 4
        $0.kvCacheBytes =
          try? Engine(model: tiny.model, options: Self.options { _ in })
          .statistics.kvBlockBytes * 9
      })
    func field(_ options: SamplingOptions) -> String? {
      do {
        try engine.add(GenerationRequest(sequence: 1, promptTokens: [5], options: options))
        return nil
      } catch {
        return error.context["field"]
      }
    }
    #expect(field(SamplingOptions(temperature: 1, outputs: 5)) == "n")
    #expect(
      field(SamplingOptions(strategy: .beam(BeamSearchOptions(width: 5)))) == "beam.width")
    #expect(
      field(SamplingOptions(strategy: .contrastive(ContrastiveSearchOptions(topK: 5))))
        == "contrastive.top_k")
    #expect(
      field(SamplingOptions(maxTokens: 100, strategy: .beam(BeamSearchOptions(width: 4))))
        == "max_tokens")
    #expect(
      field(SamplingOptions(maxTokens: 10, strategy: .beam(BeamSearchOptions(width: 4)))) == nil)
  }
}
