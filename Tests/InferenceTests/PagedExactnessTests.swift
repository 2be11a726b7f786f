import Inference
import ModelFormats
import Tensors
import TestModels
import Testing

/// Promise P4 where sequences share blocks of the cache, and take them from each other.
@Suite("Exactness of the paged cache")
struct PagedExactnessTests {
  /// Requests of which many begin alike, with priorities as they come, and as many tenants.
  private static func requests(_ count: Int, seed: UInt64, salts: [String?]) -> [GenerationRequest]
  {
    var numbers = SeededNumbers(seed: seed)
    let stem = (0..<100).map { _ in
      Int32.random(in: 3..<Int32(TinyModel.vocabulary), using: &numbers)
    }
    return (0..<count).map { index in
      let tail = (0..<Int.random(in: 1...40, using: &numbers)).map { _ in
        Int32.random(in: 3..<Int32(TinyModel.vocabulary), using: &numbers)
      }
      return GenerationRequest(
        sequence: UInt64(index),
        promptTokens: [1] + stem.prefix(Int.random(in: 0...100, using: &numbers)) + tail,
        options: SamplingOptions(
          maxTokens: Int.random(in: 1...40, using: &numbers),
          temperature: Float(index % 3) * 0.6, topP: 0.95, seed: UInt64(index), logprobs: 1,
          ignoreEnd: true),
        priority: Int.random(in: 0...2, using: &numbers),
        cacheSalt: salts[index % salts.count])
    }
  }

  /// What each comes to with nothing beside it, nothing kept and room for all.
  private static func undisturbed(
    _ model: LanguageModel, _ requests: [GenerationRequest]
  ) throws -> [UInt64: Generation] {
    let engine = try Engine(
      model: model,
      options: EngineOptions(
        contextLength: 192, threads: 1, kernelPath: .scalar, cachesPrefixes: false))
    return try requests.reduce(into: [:]) { results, request in
      results[request.sequence] = try generate(engine, [request])[request.sequence]
    }
  }

  /// Bytes of blocks of so many tokens for a part of what requests come to at their ends.
  private static func bytes(
    _ part: Double, of requests: [GenerationRequest], blockTokens: Int, _ model: LanguageModel
  ) throws -> Int {
    let probe = try Engine(
      model: model, options: EngineOptions(contextLength: 192, kvBlockTokens: blockTokens))
    let blocks = requests.map { request in
      (request.promptTokens.count + request.options.maxTokens + blockTokens - 1) / blockTokens
    }
    return Int(Double(blocks.reduce(0, +)) * part) * probe.statistics.kvBlockBytes
  }

  /// Tokens of output a second.
  private static func rate(_ statistics: EngineStatistics) -> Int {
    Int(
      Double(statistics.outputTokens) / (statistics.prefillSeconds + statistics.decodeSeconds))
  }

  @Test(
    "A warm prefix cache gives the bytes of a cold one, for all block sizes",
    arguments: ExactnessTests.types, [16, 32, 64])
  func warm(type: GGUFTensorType, blockTokens: Int) throws {
    let tiny = try TinyModel(type: type)
    let requests = ExactnessTests.requests()
    let reference = try ExactnessTests.reference(tiny.model)
    let engine = try Engine(
      model: tiny.model,
      options: EngineOptions(contextLength: 256, threads: 2, kvBlockTokens: blockTokens))
    #expect(try generate(engine, requests) == reference)
    #expect(engine.statistics.prefixHitTokens == 0)
    #expect(try generate(engine, requests) == reference)
    // All full blocks of the prompts, but for the last token.
    let expected = requests.reduce(0) {
      $0 + ($1.promptTokens.count - 1) / blockTokens * blockTokens
    }
    #expect(engine.statistics.prefixHitTokens == expected && expected > 0)
    #expect(engine.statistics.prefixLookups == 14)
    #expect(engine.statistics.kvBlocksInUse == 0 && engine.statistics.kvBlocksKept > 0)
  }

  @Test("Output that was computed before is found when a sequence is taken up again")
  func resumed() throws {
    let tiny = try TinyModel(type: .q8_0)
    let reference = try ExactnessTests.reference(tiny.model)
    let engine = try Engine(
      model: tiny.model, options: EngineOptions(contextLength: 256, kvBlockTokens: 16))
    var request = ExactnessTests.requests()[6]
    _ = try generate(engine, [request])
    let whole = try #require(reference[6])
    request.resumedTokens = Array(whole.tokens.prefix(40))
    try engine.add(request)
    let output = try #require(try engine.step().first)
    #expect(output.tokens.map(\.token) == [whole.tokens[40]])
    #expect(output.cachedPromptTokens == 141)
    // 181 tokens are known: eleven blocks were found.
    #expect(engine.statistics.prefixHitTokens == 176)
  }

  @Test("A sequence says how many tokens of its prompt were found, for its own salt only")
  func cachedPromptTokens() throws {
    let tiny = try TinyModel()
    let engine = try Engine(model: tiny.model, options: EngineOptions(kvBlockTokens: 16))
    func cached(_ salt: String?) throws -> Int? {
      try engine.add(
        GenerationRequest(
          sequence: 1, promptTokens: (1...50).map { $0 },
          options: SamplingOptions(maxTokens: 1), cacheSalt: salt))
      return try engine.step().first?.cachedPromptTokens
    }
    let found = try ["a", "b", "a", nil, "b", nil].map(cached)
    #expect(found == [0, 0, 48, 0, 48, 48])
  }

  @Test(
    "With a quarter of the blocks that the load wants, all outputs are as undisturbed",
    arguments: [16, 32, 64], [true, false])
  func preemption(blockTokens: Int, caching: Bool) throws {
    let tiny = try TinyModel(type: .q8_0)
    for seed in UInt64(1)...4 {
      let requests = Self.requests(24, seed: seed, salts: [nil, "a", "b"])
      let reference = try Self.undisturbed(tiny.model, requests)
      var options = EngineOptions(
        maxSequences: 24, maxTokensPerStep: 100, prefillChunk: 40, contextLength: 192, threads: 2,
        kvBlockTokens: blockTokens, cachesPrefixes: caching)
      let roomy = try Engine(model: tiny.model, options: options)
      #expect(try generate(roomy, requests) == reference)
      #expect(roomy.statistics.preemptions == 0)
      options.kvCacheBytes = try Self.bytes(
        0.25, of: requests, blockTokens: blockTokens, tiny.model)
      let engine = try Engine(model: tiny.model, options: options)
      #expect(try generate(engine, requests) == reference)
      let statistics = engine.statistics
      print(
        "Blocks of \(blockTokens), prefix cache \(caching ? "on" : "off"), seed \(seed): "
          + "\(Self.rate(roomy.statistics)) tokens/s with room for all, \(Self.rate(statistics)) "
          + "with a quarter (\(statistics.preemptions) preemptions)")
      #expect(statistics.preemptions > 0 && statistics.kvBlocksInUse == 0)
      #expect(caching ? statistics.prefixHitTokens > 0 : statistics.kvBlocksKept == 0)
    }
  }

  @Test("Sequences that come, go and push others aside at random steps change no byte")
  func randomSteps() throws {
    let tiny = try TinyModel(type: .q4_0)
    for seed in UInt64(1)...6 {
      let requests = Self.requests(30, seed: seed, salts: [nil])
      let reference = try Self.undisturbed(tiny.model, requests)
      let engine = try Engine(
        model: tiny.model,
        options: EngineOptions(
          maxSequences: 30, prefillChunk: 16, contextLength: 192, threads: 2, kvBlockTokens: 16,
          kvCacheBytes: try Self.bytes(0.12, of: requests, blockTokens: 16, tiny.model)))
      var numbers = SeededNumbers(seed: seed)
      var late = requests.suffix(20)
      var removed: Set<UInt64> = []
      var results: [UInt64: Generation] = [:]
      for request in requests.prefix(10) { try engine.add(request) }
      while engine.hasWork || !late.isEmpty {
        for output in try engine.step() {
          results[output.sequence, default: Generation()].take(output)
        }
        if Int.random(in: 0..<8, using: &numbers) == 0, let next = late.popFirst() {
          try engine.add(next)
        }
        if Int.random(in: 0..<40, using: &numbers) == 0 {
          let id = UInt64.random(in: 0..<30, using: &numbers)
          engine.remove(id)
          removed.insert(id)
        }
      }
      for id in 0..<UInt64(30) where !removed.contains(id) {
        #expect(results[id] == reference[id])
      }
      #expect(removed.count < 25)
      #expect(engine.statistics.preemptions > 0 && engine.statistics.kvBlocksInUse == 0)
    }
  }

  @Test("64 requests with one prefix of 512 tokens cost a fifth or less of what they do without")
  func sharedPrefix() throws {
    let tiny = try TinyModel(type: .q8_0)
    var numbers = SeededNumbers(seed: 3)
    let prefix = (0..<512).map { _ in
      Int32.random(in: 3..<Int32(TinyModel.vocabulary), using: &numbers)
    }
    let requests = (0..<64).map { index in
      GenerationRequest(
        sequence: UInt64(index), promptTokens: prefix + [5 + Int32(index), 7, 9],
        options: SamplingOptions(maxTokens: 1))
    }
    let runs = try [false, true].map { caching in
      let engine = try Engine(
        model: tiny.model,
        options: EngineOptions(maxSequences: 64, threads: 2, cachesPrefixes: caching))
      return (results: try generate(engine, requests), statistics: engine.statistics)
    }
    #expect(runs[0].results == runs[1].results)
    let (without, with) = (runs[0].statistics, runs[1].statistics)
    print(
      "Without prefix cache \(without.prefillTokens) tokens, \(without.prefillSeconds) s; with it "
        + "\(with.prefillTokens) tokens, \(with.prefillSeconds) s, \(with.prefixHitTokens) found")
    #expect(with.prefillTokens * 5 <= without.prefillTokens)
    #expect(with.prefillTokens + with.prefixHitTokens == without.prefillTokens)
  }
}
