import Inference
import Tokenizers
import TestModels
import Testing

@Suite("Engine")
struct EngineTests {
  private func request(
    _ options: SamplingOptions, sequence: UInt64 = 1
  ) -> GenerationRequest {
    GenerationRequest(sequence: sequence, promptTokens: [1, 270, 271], options: options)
  }

  private func only(_ engine: Engine, _ request: GenerationRequest) throws -> Generation {
    try #require(try generate(engine, [request])[request.sequence])
  }

  @Test("The pieces are the text of all tokens, and no character is cut")
  func text() throws {
    let tiny = try TinyModel()
    let engine = try Engine(model: tiny.model, options: EngineOptions(contextLength: 512))
    for seed in 0..<6 {
      let output = try only(
        engine,
        request(
          SamplingOptions(
            maxTokens: 200, temperature: 2, seed: UInt64(seed), ignoreEnd: true)))
      let bytes = output.tokens.flatMap { tiny.model.tokenizer.bytes(of: $0) }
      let whole = String(decoding: bytes, as: UTF8.self)
        .replacing("\0", with: "\u{FFFD}")
      #expect(output.text == whole)
      #expect(output.tokens.count == 200 && output.finish == .length)
    }
  }

  @Test("An end-of-generation token is the last, without text of its own, unless ends are ignored")
  func ends() throws {
    let tiny = try TinyModel()
    let engine = try Engine(model: tiny.model)
    var options = SamplingOptions(maxTokens: 9, logitBias: [2: 1_000])
    let output = try only(engine, request(options))
    #expect(output.tokens == [2] && output.text == "" && output.finish == .stop)
    options.ignoreEnd = true
    let ignoring = try only(engine, request(options))
    #expect(ignoring.tokens.count == 9 && ignoring.finish == .length)
  }

  @Test("Bytes held back are released with the end")
  func releasesAtEnd() throws {
    let tiny = try TinyModel()
    let engine = try Engine(model: tiny.model)
    // 0xE6 begins a character of three bytes.
    let output = try only(
      engine, request(SamplingOptions(maxTokens: 1, logitBias: [3 + 0xE6: 1_000])))
    #expect(output.pieces == ["\u{FFFD}"])
  }

  @Test("A stop string ends the output, and the text ends before it")
  func stopStrings() throws {
    let tiny = try TinyModel()
    let engine = try Engine(model: tiny.model)
    let letter = try #require(
      (0..<Int32(TinyModel.vocabulary)).first { tiny.model.tokenizer.token($0) == "q" })
    let options = SamplingOptions(maxTokens: 9, stop: ["qqq"], logitBias: [letter: 1_000])
    let output = try only(engine, request(options))
    #expect(output.tokens == [letter, letter, letter])
    #expect(output.text == "" && output.finish == .stopString)
    let short = try only(
      engine, request(SamplingOptions(maxTokens: 2, stop: ["qqq"], logitBias: [letter: 1_000])))
    #expect(short.text == "qq" && short.pieces == ["", "qq"] && short.finish == .length)
  }

  @Test("The context's end is the output's end")
  func contextFull() throws {
    let tiny = try TinyModel()
    let engine = try Engine(model: tiny.model, options: EngineOptions(contextLength: 20))
    let output = try only(engine, request(SamplingOptions(maxTokens: 500, ignoreEnd: true)))
    #expect(output.tokens.count == 17 && output.finish == .length)
  }

  @Test("A resumed output that was complete is reported so, with the text it still held")
  func resumedComplete() throws {
    let tiny = try TinyModel()
    let engine = try Engine(model: tiny.model)
    var resumed = request(SamplingOptions(maxTokens: 2))
    resumed.resumedTokens = [270, 3 + 0xE6]
    #expect(engine.canAdmit(resumed))
    try engine.add(resumed)
    let outputs = try engine.step()
    #expect(
      outputs == [
        SequenceOutput(
          sequence: 1, firstIndex: 2, finish: .length, trailingText: "\u{FFFD}", isLast: true)
      ])
    #expect(!engine.hasWork && engine.statistics.kvBlocksInUse == 0)
    var ended = request(SamplingOptions(maxTokens: 5))
    ended.resumedTokens = [270, 2]
    try engine.add(ended)
    #expect(try engine.step().first?.finish == .stop)
  }

  @Test("A forced output comes as it is given, drafted or not, and goes on as the same text would")
  func forced() throws {
    let tiny = try TinyModel()
    let given: [Int32] = Array(repeating: [265, 270, 261], count: 4).flatMap(\.self)
    var request = request(
      SamplingOptions(maxTokens: 20, temperature: 0.9, seed: 4, ignoreEnd: true))
    request.resumedTokens = given
    let engine = try Engine(
      model: tiny.model, draft: tiny.model, options: EngineOptions(contextLength: 64))
    let rest = try only(engine, request)
    request.resumedTokens = []
    request.forcedTokens = given
    for method in Speculation.Method.allCases {
      request.speculation = Speculation(method, tokens: 3)
      let before = engine.statistics
      let output = try only(engine, request)
      #expect(output.tokens == given + rest.tokens, "\(method)")
      let accepted = engine.statistics.acceptedTokens - before.acceptedTokens
      let drafted = engine.statistics.draftedTokens - before.draftedTokens
      // The text repeats itself, and so lookup finds it; a draft that knew of it would never err.
      #expect(method != .lookup || accepted >= 4)
      #expect(method != .draft || accepted < drafted)
    }
  }

  @Test("A full engine says so and takes the request later")
  func full() throws {
    let tiny = try TinyModel()
    let engine = try Engine(
      model: tiny.model,
      options: EngineOptions(
        maxSequences: 2, contextLength: 64, kvBlockTokens: 16, kvCacheBytes: nil))
    let options = SamplingOptions(maxTokens: 4, ignoreEnd: true)
    try engine.add(request(options, sequence: 1))
    try engine.add(request(options, sequence: 2))
    #expect(!engine.canAdmit(request(options, sequence: 3)))
    let error = #expect(throws: InferenceError.self) {
      try engine.add(request(options, sequence: 3))
    }
    #expect(error?.code == .noRoom)
    while engine.hasWork { _ = try engine.step() }
    #expect(engine.canAdmit(request(options, sequence: 3)))
    #expect(engine.statistics.outputTokens == 8 && engine.statistics.peakSequences == 2)
  }

  static let badRequests: [(String, GenerationRequest)] = {
    func bad(_ change: (inout GenerationRequest) -> Void) -> GenerationRequest {
      var request = GenerationRequest(sequence: 1, promptTokens: [1, 2])
      change(&request)
      return request
    }
    return [
      ("promptTokens", bad { $0.promptTokens = [] }),
      ("promptTokens", bad { $0.promptTokens = [1, 100_000] }),
      ("promptTokens", bad { $0.promptTokens = [-1] }),
      ("promptTokens", bad { $0.promptTokens = Array(repeating: 1, count: 5_000) }),
      ("forcedTokens", bad { $0.forcedTokens = [100_000] }),
      ("forcedTokens", bad { ($0.forcedTokens, $0.options.strategy) = ([1], .beam(.init())) }),
      (
        "forcedTokens",
        bad { ($0.forcedTokens, $0.options.constraint) = ([1], .grammar("root ::= [a]")) }
      ),
      ("resumedTokens", bad { $0.resumedTokens = [-7] }),
      ("max_tokens", bad { $0.options.maxTokens = 0 }),
      ("temperature", bad { $0.options.temperature = .nan }),
      ("temperature", bad { $0.options.temperature = -1 }),
      ("top_k", bad { $0.options.topK = -1 }),
      ("top_p", bad { $0.options.topP = 0 }),
      ("min_p", bad { $0.options.minP = 1.5 }),
      ("repetition_penalty", bad { $0.options.repetitionPenalty = 0 }),
      ("presence_penalty", bad { $0.options.presencePenalty = .infinity }),
      ("stop", bad { $0.options.stop = [""] }),
      ("stop", bad { $0.options.stop = Array(repeating: "x", count: 17) }),
      ("logprobs", bad { $0.options.logprobs = 21 }),
      ("logit_bias", bad { $0.options.logitBias = [99_999: 1] }),
      ("logit_bias", bad { $0.options.logitBias = [3: .nan] }),
    ]
  }()

  @Test("A bad request is refused with the name of the field")
  func refusesRequests() throws {
    let tiny = try TinyModel()
    let engine = try Engine(model: tiny.model)
    for (field, request) in Self.badRequests {
      let error = #expect(throws: InferenceError.self) { try engine.add(request) }
      #expect(error?.context["field"] == field)
    }
    #expect(engine.activeSequences == 0 && engine.statistics.kvBlocksInUse == 0)
  }

  @Test("Bad options are refused with the name of the field")
  func refusesOptions() throws {
    let tiny = try TinyModel()
    let bad: [(String, EngineOptions)] = [
      ("maxSequences", EngineOptions(maxSequences: 0)),
      ("maxTokensPerStep", EngineOptions(maxSequences: 16, maxTokensPerStep: 15)),
      ("prefillChunk", EngineOptions(prefillChunk: 0)),
      ("tokenLatency", EngineOptions(tokenLatency: .zero)),
      ("contextLength", EngineOptions(contextLength: 1_000_000)),
      ("threads", EngineOptions(threads: 0)),
      ("kvBlockTokens", EngineOptions(kvBlockTokens: 24)),
      ("kvCacheBytes", EngineOptions(kvCacheBytes: 1)),
    ]
    for (field, options) in bad {
      let error = #expect(throws: InferenceError.self) {
        try Engine(model: tiny.model, options: options)
      }
      #expect(error?.code == .optionsInvalid && error?.context["field"] == field)
    }
  }
}
