import Inference
import ModelFormats
import Tensors
import TestModels
import Testing

/// Models that see a window of tokens: how long their texts may become is no matter of memory, and what
/// they write no matter of anything but the window.
@Suite("Through a window")
struct WindowTests {
  private static func draft(_ storage: String) throws -> LanguageModel {
    try LanguageModel.load(
      path: TrainedModels.draft,
      options: LoadOptions(keyValueStorage: try #require(KeyValueStorage(storage))))
  }

  /// Requests of all strategies, some of them long enough to leave their beginning behind.
  private static func requests(_ model: LanguageModel) throws -> [GenerationRequest] {
    try TalePrompts.requestsOfAllStrategies(model, count: 20).enumerated().map { index, request in
      var request = request
      request.options.ignoreEnd = request.options.constraint == nil
      if index % 3 == 0 { request.options.maxTokens += 200 }
      return request
    }
  }

  private struct Variant {
    var name: String
    var options = EngineOptions(maxSequences: 16, contextLength: 512, threads: 2, kvBlockTokens: 16)
    var speculation = Speculation.off
    /// Whether the cache holds as little as the widest search needs.
    var isTight = false
  }

  private static var variants: [Variant] {
    var variants = [Variant(name: "batch"), Variant(name: "tight", isTight: true)]
    for method in [Speculation.Method.draft, .lookup, .both] {
      let speculation = Speculation(method, tokens: method == .both ? nil : 3)
      variants.append(Variant(name: "\(method)", speculation: speculation))
      variants.append(Variant(name: "\(method), tight", speculation: speculation, isTight: true))
    }
    var others: [EngineOptions] = []
    others += [16, 64].map { EngineOptions(prefillChunk: $0, contextLength: 512, threads: 2) }
    others += [1, 3].map { EngineOptions(contextLength: 512, threads: $0) }
    others += [32, 64].map { EngineOptions(contextLength: 512, threads: 2, kvBlockTokens: $0) }
    others += KernelPath.allCases.filter(\.isSupported).map {
      EngineOptions(contextLength: 512, threads: 2, kernelPath: $0)
    }
    return variants + others.map { Variant(name: "\($0)", options: $0) }
  }

  @Test(
    "Nothing that changes no byte elsewhere changes one here",
    arguments: ["f32,window=40", "int8,window=4+50"])
  func exact(storage: String) async throws {
    let results = try await onThreadOfItsOwn { try Self.compare(storage) }
    for result in results { #expect(result.equal == result.requests, "\(result.name)") }
    // It has drafted with the beginning left behind, and preempted.
    let drafting = results.filter { $0.name.hasPrefix("draft") || $0.name.hasPrefix("both") }
    #expect(drafting.count == 4 && drafting.allSatisfy { $0.accepted > 1_000 })
    #expect(results.reduce(0) { $0 + $1.preemptions } > 10)
  }

  private struct Result {
    var name: String
    var equal: Int
    var requests: Int
    var accepted: Int
    var preemptions: Int
  }

  private static func compare(_ storage: String) throws -> [Result] {
    let model = try Self.draft(storage)
    let requests = try Self.requests(model)
    var expected: [UInt64: Generation] = [:]
    for request in requests {
      let engine = try Engine(
        model: model, options: EngineOptions(maxSequences: 8, contextLength: 512, threads: 1))
      expected[request.sequence] = try generate(engine, [request])[request.sequence]
    }
    return try variants.map { variant in
      let engine = try Self.engine(variant, model, requests)
      engine.assume(Engine.AssumedCosts(step: { 1 + 0.01 * Double($0) }, pass: { _ in 0.01 }))
      let found = try generate(
        engine,
        requests.map { request in
          var request = request
          request.speculation = variant.speculation
          return request
        })
      return Result(
        name: variant.name, equal: requests.count { found[$0.sequence] == expected[$0.sequence] },
        requests: requests.count, accepted: engine.statistics.acceptedTokens,
        preemptions: engine.statistics.preemptions)
    }
  }

  private static func engine(
    _ variant: Variant, _ model: LanguageModel, _ requests: [GenerationRequest]
  ) throws -> Engine {
    let draft = variant.speculation.method == .off ? nil : model
    var options = variant.options
    if variant.isTight {
      // Chunks of a size at which a window is small beside a text.
      options.prefillChunk = 32
      let probe = try Engine(model: model, draft: draft, options: options)
      let places = requests.map(\.options.places).max() ?? 1
      // Of 16 tokens: those of the window, of two steps, a chunk, what may be drafted, and the sinks.
      options.kvCacheBytes = probe.statistics.kvBlockBytes * (places * (4 + 8 + 2 + 4 + 3))
    }
    return try Engine(model: model, draft: draft, options: options)
  }

  @Test("A text may become longer than the cache")
  func longText() throws {
    let model = try Self.draft("f32,window=4+40")
    var options = EngineOptions(
      maxSequences: 1, prefillChunk: 32, contextLength: 512, threads: 2, kvBlockTokens: 16)
    // 512 tokens take 32 blocks.
    options.kvCacheBytes = try Engine(model: model, options: options).statistics.kvBlockBytes * 20
    let engine = try Engine(model: model, options: options)
    #expect(engine.statistics.kvBlocks == 20)
    var request = GenerationRequest(
      sequence: 1, promptTokens: model.encodePrompt("Once upon a time there was a king"),
      options: SamplingOptions(maxTokens: 480, ignoreEnd: true))
    var most = 0
    let text = try generate(engine, [request]) { _ in
      most = max(most, engine.statistics.kvBlocksInUse)
    }
    #expect(text[1]?.tokens.count == 480 && text[1]?.failure == nil)
    // 40 and two steps, in whole blocks, and the sinks.
    #expect(most <= 3 + 8 + 1 + 1)
    #expect(engine.statistics.kvBlocksInUse == 0)
    // A long prompt goes through it, too, and is the same as if its end had been made.
    request.promptTokens += try #require(text[1]?.tokens.prefix(400))
    request.options.maxTokens = 80
    let rest = try generate(engine, [request])
    #expect(rest[1]?.tokens == text[1].map { Array($0.tokens.dropFirst(400)) })
    // Without a window there is no room for that.
    let error = #expect(throws: InferenceError.self) {
      try Engine(model: try Self.draft("f32"), options: options)
    }
    #expect(error?.context["field"] == "kvCacheBytes")
  }

  @Test(
    "Logits are those of all tokens as long as the window reaches, and then others",
    arguments: ["f32,window=100", "f32,window=4+100"])
  func logits(storage: String) throws {
    let plain = try Self.draft("f32")
    let model = try Self.draft(storage)
    let tokens = (0..<400).map { Int32(300 + $0 * 7 % 280) }
    let options = EngineOptions(
      maxSequences: 1, prefillChunk: 64, contextLength: 512, threads: 2, kvBlockTokens: 16)
    let all = try Engine(model: plain, options: options).logits(tokens: tokens)
    let engine = try Engine(model: model, options: options)
    let seen = try engine.logits(tokens: tokens)
    let width = model.configuration.vocabularySize
    #expect(seen.prefix(100 * width) == all.prefix(100 * width))
    #expect(seen.suffix(width) != all.suffix(width))
    for chunk in [1, 7, 64, 400] {
      #expect(try engine.logits(tokens: tokens, chunk: chunk) == seen)
    }
    #expect(engine.statistics.kvBlocksInUse == 0)
  }
}
