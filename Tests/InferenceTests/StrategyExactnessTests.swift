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

  @Test("Neither do priorities and others that need all the memory", arguments: 1...24)
  func crowd(seed: UInt64) throws {
    let tiny = try TinyModel()
    var numbers = SeededNumbers(seed: seed)
    var requests = Array(Self.requests(tiny.model).prefix(16))
    for index in requests.indices {
      requests[index].options.maxTokens = Int.random(in: 1...60, using: &numbers)
      guard index % 4 > 0, Bool.random(using: &numbers) else { continue }
      requests[index].options.outputs = 1
      requests[index].options.strategy = .beam(
        BeamSearchOptions(width: Int.random(in: 3...4, using: &numbers)))
      requests[index].promptTokens = Array(
        requests[index].promptTokens.prefix(Int.random(in: 1...12, using: &numbers)))
    }
    let expected = try generate(Engine(model: tiny.model, options: Self.reference), requests)
    let probe = try Engine(model: tiny.model, options: Self.options { _ in })
    let blocks = 4 * (144 / Self.blockTokens + 1) + Int.random(in: 0...4, using: &numbers)
    let engine = try Engine(
      model: tiny.model,
      options: Self.options {
        $0.kvCacheBytes = probe.statistics.kvBlockBytes * blocks
        $0.maxSequences = Int.random(in: 8...40, using: &numbers)
        $0.prefillChunk = Int.random(in: 4...64, using: &numbers)
        $0.cachesPrefixes = Bool.random(using: &numbers)
      })
    let shuffled = requests.shuffled(using: &numbers).map { request in
      var request = request
      request.priority = Int.random(in: 0...3, using: &numbers) / 3
      return request
    }
    let results = try generate(engine, shuffled)
    for request in requests {
      #expect(
        results[request.sequence] == expected[request.sequence], "\(request.options.strategy)")
    }
    #expect(engine.activeSequences == 0 && engine.statistics.kvBlocksInUse == 0)
  }

  @Test("More samples than there are places come one after the other, to the same")
  func parts() throws {
    let tiny = try TinyModel()
    let options = SamplingOptions(maxTokens: 30, temperature: 1.2, seed: 4, outputs: 9)
    var request = GenerationRequest(sequence: 1, promptTokens: [5, 6, 7], options: options)
    let wide = try Engine(model: tiny.model, options: Self.options { _ in })
    let narrow = try Engine(model: tiny.model, options: Self.options { $0.maxSequences = 2 })
    let expected = try #require(try generate(wide, [request])[1])
    #expect(Set(expected.outputs).count == 9)
    let found = try #require(try generate(narrow, [request])[1])
    #expect(found == expected && narrow.statistics.peakSequences == 2)
    request.resumedOutputs = expected.outputs.enumerated().map { Array($1.prefix($0 * 5)) }
    let resumed = try #require(try generate(narrow, [request])[1])
    #expect(zip(request.resumedOutputs, resumed.outputs).map(+) == expected.outputs)
    #expect(narrow.activeSequences == 0 && !narrow.hasWork)
  }

  @Test("A sample that ends gives its place to others")
  func places() throws {
    let tiny = try TinyModel()
    let engine = try Engine(model: tiny.model, options: Self.options { $0.maxSequences = 4 })
    let options = SamplingOptions(
      maxTokens: 60, temperature: 1, seed: 1, logitBias: [2: 4], outputs: 4)
    try engine.add(GenerationRequest(sequence: 1, promptTokens: [5], options: options))
    let other = GenerationRequest(
      sequence: 2, promptTokens: [6], options: SamplingOptions(maxTokens: 3))
    var ends = 0
    var admitted = 0
    while engine.hasWork {
      for output in try engine.step() where output.sequence == 1 && output.finish != nil {
        ends += 1
        #expect(output.isLast == (ends == 4))
      }
      if ends > 0, ends < 4, admitted == 0 {
        #expect(engine.canAdmit(other))
        try engine.add(other)
        admitted += 1
      }
    }
    #expect(ends == 4 && admitted == 1)
  }

  @Test("Outputs that have reached a smaller context end each by itself")
  func smallerContext() throws {
    let tiny = try TinyModel()
    let options = SamplingOptions(
      maxTokens: 100, temperature: 1, seed: 2, outputs: 3, ignoreEnd: true)
    var request = GenerationRequest(
      sequence: 1, promptTokens: (0..<20).map { 5 + $0 }, options: options)
    let large = try Engine(model: tiny.model, options: Self.options { _ in })
    let whole = try #require(try generate(large, [request])[1]).outputs
    request.resumedOutputs = [
      Array(whole[0].prefix(60)), Array(whole[1].prefix(2)), Array(whole[2].prefix(20)),
    ]
    let small = try Engine(model: tiny.model, options: Self.options { $0.contextLength = 40 })
    let found = try #require(try generate(small, [request])[1])
    #expect(found.outputs.map(\.count) == [0, 18, 0])
    #expect(request.resumedOutputs[1] + found.outputs[1] == Array(whole[1].prefix(20)))
    let finishes = [found.finish, found.alternatives[1]?.finish, found.alternatives[2]?.finish]
    #expect(finishes == [.length, .length, .length])
    // Not even the prompt fits any more.
    let tiniest = try Engine(model: tiny.model, options: Self.options { $0.contextLength = 16 })
    let ended = try #require(try generate(tiniest, [request])[1])
    #expect(ended.outputs.allSatisfy(\.isEmpty) && ended.finish == .length)
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
    #expect(field(SamplingOptions(temperature: 0, outputs: 2)) == "n")
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
