import Inference
import ModelFormats
import Tensors
import TestModels
import Testing

/// Promise P4: an output is the same bytes whatever the batch, the chunks, the threads, the
/// kernels, the cache's blocks and the point of resumption.
@Suite("Exactness")
struct ExactnessTests {
  static let types: [GGUFTensorType] = [
    .f32, .f16, .bf16, .q8_0, .q5_0, .q4_0, .q4K, .q6K,
  ]

  /// Seven requests of different lengths and ways of choosing.
  static func requests() -> [GenerationRequest] {
    var numbers = SeededNumbers(seed: 77)
    let options: [SamplingOptions] = [
      SamplingOptions(temperature: 0), SamplingOptions(temperature: 1, seed: 1),
      SamplingOptions(temperature: 0.7, topK: 20, seed: 2),
      SamplingOptions(temperature: 1.5, topP: 0.8, seed: 3),
      SamplingOptions(temperature: 1, minP: 0.1, seed: 4),
      SamplingOptions(temperature: 0, repetitionPenalty: 1.3, frequencyPenalty: 0.2),
      SamplingOptions(temperature: 0.9, topK: 50, topP: 0.9, presencePenalty: 0.5, seed: 5),
    ]
    return options.enumerated().map { index, options in
      var options = options
      options.maxTokens = 12 + 5 * index
      options.logprobs = 2
      options.ignoreEnd = true
      let length = [1, 5, 16, 33, 70, 90, 140][index]
      let prompt = (0..<length).map { _ in
        Int32.random(in: 3..<Int32(TinyModel.vocabulary), using: &numbers)
      }
      return GenerationRequest(
        sequence: UInt64(index), promptTokens: [1] + prompt, options: options)
    }
  }

  static func alone(
    _ model: LanguageModel, _ request: GenerationRequest, _ options: EngineOptions
  ) throws -> Generation? {
    try generate(try Engine(model: model, options: options), [request])[request.sequence]
  }

  static func reference(_ model: LanguageModel) throws -> [UInt64: Generation] {
    var results: [UInt64: Generation] = [:]
    for request in requests() {
      results[request.sequence] = try alone(
        model, request,
        EngineOptions(maxSequences: 1, contextLength: 256, threads: 1, kernelPath: .scalar))
    }
    return results
  }

  static let variants: [EngineOptions] =
    [1, 16, 4_096].map { chunk in
      EngineOptions(prefillChunk: chunk, contextLength: 256, threads: 2)
    }
    + [1, 2, 3].map { EngineOptions(contextLength: 256, threads: $0) }
    + [.microseconds(1), .seconds(9)].map { (latency: Duration) in
      EngineOptions(tokenLatency: latency, contextLength: 256, threads: 2)
    }
    + [16, 32, 64].map { EngineOptions(contextLength: 256, threads: 2, kvBlockTokens: $0) }
    + KernelPath.allCases.filter(\.isSupported).map {
      EngineOptions(maxTokensPerStep: 40, contextLength: 256, threads: 2, kernelPath: $0)
    }

  @Test("A batch of seven gives each the bytes it gives alone", arguments: types)
  func batches(type: GGUFTensorType) throws {
    let tiny = try TinyModel(type: type)
    let reference = try Self.reference(tiny.model)
    #expect(Set(reference.values.map(\.tokens)).count == 7)
    #expect(reference.values.allSatisfy { $0.finish == .length })
    for options in Self.variants {
      let engine = try Engine(model: tiny.model, options: options)
      let results = try generate(engine, Self.requests())
      #expect(results == reference, "\(options)")
    }
  }

  @Test("Alone, every option of the engine gives the same bytes", arguments: types)
  func alone(type: GGUFTensorType) throws {
    let tiny = try TinyModel(type: type, tied: true, ropeFactors: true)
    let request = Self.requests()[4]
    let reference = try Self.alone(
      tiny.model, request, EngineOptions(threads: 1, kernelPath: .scalar))
    for options in Self.variants {
      #expect(try Self.alone(tiny.model, request, options) == reference, "\(options)")
    }
  }

  @Test("A sequence taken up again at any point goes on with the same bytes", arguments: types)
  func resumes(type: GGUFTensorType) throws {
    let tiny = try TinyModel(type: type)
    let reference = try Self.reference(tiny.model)
    var numbers = SeededNumbers(seed: 5)
    let engine = try Engine(
      model: tiny.model, options: EngineOptions(contextLength: 256, threads: 2))
    for _ in 0..<4 {
      var cuts: [UInt64: Int] = [:]
      let resumed = Self.requests().map { request in
        var request = request
        let tokens = reference[request.sequence]?.tokens ?? []
        let cut = Int.random(in: 0...tokens.count, using: &numbers)
        request.resumedTokens = Array(tokens.prefix(cut))
        cuts[request.sequence] = cut
        return request
      }
      for (id, rest) in try generate(engine, resumed) {
        let whole = try #require(reference[id])
        let cut = try #require(cuts[id])
        #expect(rest.tokens == Array(whole.tokens.dropFirst(cut)))
        #expect(rest.logprobs == Array(whole.logprobs.dropFirst(cut)))
        #expect(rest.finish == whole.finish)
        if cut < whole.tokens.count {
          #expect(rest.pieces == Array(whole.pieces.dropFirst(cut)))
        }
      }
    }
  }

  @Test("Sequences that come and go do not change the others")
  func comingAndGoing() throws {
    let tiny = try TinyModel(type: .q8_0)
    let reference = try Self.reference(tiny.model)
    let engine = try Engine(
      model: tiny.model,
      options: EngineOptions(maxTokensPerStep: 20, prefillChunk: 7, contextLength: 256))
    let requests = Self.requests()
    var late: [UInt64: Generation] = [:]
    let results = try generate(engine, Array(requests.prefix(4))) { step in
      if step == 3 { engine.remove(1) }
      guard step == 5 else { return }
      for request in requests.suffix(2) { try engine.add(request) }
    }
    for id in [UInt64(0), 2, 3] { #expect(results[id] == reference[id]) }
    #expect(engine.statistics.kvBlocksInUse == 0)
    late = try generate(engine, Array(requests[4...4]))
    #expect(late[4] == reference[4])
  }

  @Test("Logits are the same bits for every chunk, path and number of threads", arguments: types)
  func logits(type: GGUFTensorType) throws {
    let tiny = try TinyModel(type: type)
    var numbers = SeededNumbers(seed: 6)
    let tokens = (0..<530).map { _ in
      Int32.random(in: 0..<Int32(TinyModel.vocabulary), using: &numbers)
    }
    let paths = KernelPath.allCases.filter { $0 != .auto && $0.isSupported }
    let reference = try Self.logits(tiny.model, tokens, path: .scalar, chunk: 530, threads: 1)
    #expect(reference.count == 530 * TinyModel.vocabulary)
    for path in paths {
      for (chunk, threads) in [(530, 3), (97, 1), (16, 2), (530, 2), (530, 4)] {
        let result = try Self.logits(tiny.model, tokens, path: path, chunk: chunk, threads: threads)
        #expect(result == reference, "\(path), chunks of \(chunk), \(threads) threads")
      }
    }
    let few = Array(tokens.prefix(20))
    let one = try Self.logits(tiny.model, few, path: .auto, chunk: 1, threads: 2)
    #expect(one == Array(reference.prefix(20 * TinyModel.vocabulary)))
  }

  /// The last layer computes final states only where somebody reads them; the logits of a whole text
  /// are computed from those of all tokens.
  @Test(
    "A prompt's last token has the logits, to the bit, that it has where those of all are wanted",
    arguments: [GGUFTensorType.f32, .q8_0, .q4K], ["f32", "int8", "f16,window=4+30"])
  func lastOfPrompt(type: GGUFTensorType, storage: String) throws {
    let storage = try #require(KeyValueStorage(storage))
    let tiny = try TinyModel(type: type, options: LoadOptions(keyValueStorage: storage))
    let engine = try Engine(
      model: tiny.model,
      options: EngineOptions(
        maxTokensPerStep: 40, prefillChunk: 24, contextLength: 256, kvBlockTokens: 16))
    let sampler = TokenSampler(compute: try Compute(path: .auto), vocabulary: TinyModel.vocabulary)
    var scratch = [Float](repeating: 0, count: TinyModel.vocabulary)
    var numbers = SeededNumbers(seed: 31)
    let requests = [1, 2, 9, 24, 25, 40, 41, 100].enumerated().map { index, count in
      GenerationRequest(
        sequence: UInt64(index),
        promptTokens: (0..<count).map { _ in
          Int32.random(in: 3..<Int32(TinyModel.vocabulary), using: &numbers)
        },
        options: SamplingOptions(maxTokens: 1, temperature: 0, logprobs: 5, ignoreEnd: true))
    }
    let results = try generate(engine, requests)
    for request in requests {
      let last = Array(
        try engine.logits(tokens: request.promptTokens).suffix(TinyModel.vocabulary))
      let expected = sampler.choose(
        logits: last, options: request.options, history: TokenHistory(prompt: []), random: 0,
        scratch: &scratch)
      let found = try #require(results[request.sequence])
      #expect(found.tokens == [expected?.token])
      #expect(found.topLogprobs == expected?.topLogprobs)
    }
  }

  private static func logits(
    _ model: LanguageModel, _ tokens: [Int32], path: KernelPath, chunk: Int, threads: Int
  ) throws -> [UInt32] {
    let engine = try Engine(
      model: model,
      options: EngineOptions(maxTokensPerStep: 600, threads: threads, kernelPath: path))
    return try engine.logits(tokens: tokens, chunk: chunk).map(\.bitPattern)
  }
}
