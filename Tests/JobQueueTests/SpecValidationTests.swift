import JobQueue
import Testing

@Suite("A spec is checked before it is stored")
struct SpecValidationTests {
  struct Case: Sendable, CustomTestStringConvertible {
    var field: String
    var change: @Sendable (inout GenerationSpec) -> Void
    var testDescription: String { field }
  }

  static let bad: [Case] = [
    Case(field: "spec.model") { $0.model = "" },
    Case(field: "spec.model") { $0.model = "other" },
    Case(field: "spec.prompt") { $0.prompt = .text("a\u{0}b") },
    Case(field: "spec.prompt") { $0.prompt = .text("") },
    Case(field: "spec.prompt") { $0.prompt = .text(String(repeating: "a", count: 100)) },
    Case(field: "spec.prompt") { $0.prompt = .text(String(repeating: "a", count: 2_000_001)) },
    Case(field: "spec.token_ids") { $0.prompt = .tokens([]) },
    Case(field: "spec.token_ids[1]") { $0.prompt = .tokens([1, 256]) },
    Case(field: "spec.token_ids[0]") { $0.prompt = .tokens([-1]) },
    Case(field: "spec.messages") { $0.prompt = .messages([]) },
    Case(field: "spec.messages") {
      $0.prompt = .messages([ChatMessage(role: "user", content: "x")])
    },
    Case(field: "spec.messages[0].role") {
      $0.prompt = .messages([ChatMessage(role: "robot", content: "x")])
    },
    Case(field: "spec.sampling.max_tokens") { $0.sampling.maxTokens = 0 },
    Case(field: "spec.sampling.temperature") { $0.sampling.temperature = -0.1 },
    Case(field: "spec.sampling.temperature") { $0.sampling.temperature = .nan },
    Case(field: "spec.sampling.top_p") { $0.sampling.topP = 0 },
    Case(field: "spec.sampling.top_p") { $0.sampling.topP = 2 },
    Case(field: "spec.sampling.top_k") { $0.sampling.topK = -1 },
    Case(field: "spec.sampling.min_p") { $0.sampling.minP = 1.5 },
    Case(field: "spec.sampling.repetition_penalty") { $0.sampling.repetitionPenalty = 0 },
    Case(field: "spec.sampling.presence_penalty") { $0.sampling.presencePenalty = .infinity },
    Case(field: "spec.sampling.frequency_penalty") { $0.sampling.frequencyPenalty = -101 },
    Case(field: "spec.sampling.stop") { $0.sampling.stop = Array(repeating: "s", count: 17) },
    Case(field: "spec.sampling.stop[0]") { $0.sampling.stop = [""] },
    Case(field: "spec.sampling.logprobs") { $0.sampling.logprobs = 21 },
    Case(field: "spec.sampling.logit_bias") { $0.sampling.logitBias = [256: 1] },
    Case(field: "spec.sampling.logit_bias") { $0.sampling.logitBias = [1: .nan] },
    Case(field: "spec.sampling.n") { $0.sampling.outputs = 0 },
    Case(field: "spec.sampling.n") { $0.sampling.outputs = 65 },
    Case(field: "spec.sampling.n") {
      ($0.sampling.outputs, $0.sampling.temperature) = (2, 0)
    },
    Case(field: "spec.sampling.n") {
      $0.sampling.outputs = 5
      $0.sampling.strategy = .beam(width: 4, lengthPenalty: 1, stopsEarly: false)
    },
    Case(field: "spec.sampling.n") {
      $0.sampling.outputs = 2
      $0.sampling.strategy = .contrastive(topK: 4, alpha: 0.5)
    },
    Case(field: "spec.sampling.beam.width") {
      $0.sampling.strategy = .beam(width: 1, lengthPenalty: 1, stopsEarly: false)
    },
    Case(field: "spec.sampling.beam.width") {
      $0.sampling.strategy = .beam(width: 65, lengthPenalty: 1, stopsEarly: false)
    },
    Case(field: "spec.sampling.beam.length_penalty") {
      $0.sampling.strategy = .beam(width: 2, lengthPenalty: .nan, stopsEarly: true)
    },
    Case(field: "spec.sampling.contrastive.top_k") {
      $0.sampling.strategy = .contrastive(topK: 1, alpha: 0.5)
    },
    Case(field: "spec.sampling.contrastive.alpha") {
      $0.sampling.strategy = .contrastive(topK: 4, alpha: 1.5)
    },
    Case(field: "spec.priority") { $0.priority = 1_001 },
    Case(field: "spec.max_attempts") { $0.maxAttempts = 0 },
    Case(field: "spec.deadline") { $0.deadline = Timestamp(microsecondsSinceEpoch: 5) },
    Case(field: "spec.labels.key") { $0.labels = ["": "x"] },
    Case(field: "spec.labels.value") { $0.labels = ["k": String(repeating: "v", count: 256)] },
  ]

  @Test("each bad field is named", arguments: bad)
  func violations(_ test: Case) {
    let spec = Samples.spec(test.change)
    let found = spec.violations(
      catalog: ByteCatalog(), now: Timestamp(microsecondsSinceEpoch: 10))
    #expect(found.map(\.field) == [test.field])
    #expect(found.allSatisfy { !$0.description.isEmpty })
  }

  /// Takes every prompt for one token, though it knows of a hundred at least.
  private struct KnowingCatalog: ModelCatalog {
    var models: [ModelDescription] { ByteCatalog().models }

    func leastPromptTokenCount(_ prompt: Prompt, model: String) -> Int { 100 }

    func promptTokenCount(_ prompt: Prompt, model: String) throws(JobFailure) -> Int { 1 }
  }

  @Test("a prompt that is too long at any rate is refused without being tokenized")
  func leastTokens() {
    let found = Samples.spec { _ in }.violations(
      catalog: KnowingCatalog(), now: Timestamp(microsecondsSinceEpoch: 10))
    #expect(found.map(\.field) == ["spec.prompt"])
    #expect(found.first?.description.contains("at least 100 tokens") == true)
  }

  @Test("of many models an error names some and counts the others")
  func manyModels() throws {
    struct ManyModels: ModelCatalog {
      let models = (0..<1_000).map { index in
        var model = ByteCatalog().models[0]
        model.name = "model-\(index)"
        return model
      }

      func promptTokenCount(_ prompt: Prompt, model: String) throws(JobFailure) -> Int { 1 }
    }
    let found = Samples.spec { $0.model = "other" }.violations(
      catalog: ManyModels(), now: Timestamp(microsecondsSinceEpoch: 10))
    let words = try #require(found.first).description
    #expect(words.utf8.count < 400 && words.contains("model-0") && words.contains("others"))
  }

  @Test("several bad fields are named together")
  func several() {
    let spec = Samples.spec {
      $0.sampling.topP = 0
      $0.priority = -2_000
    }
    let found = spec.violations(catalog: ByteCatalog(), now: .now)
    #expect(Set(found.map(\.field)) == ["spec.sampling.top_p", "spec.priority"])
  }

  @Test("a good spec has no violations")
  func good() {
    let catalog = ByteCatalog(hasChatTemplate: true)
    #expect(Samples.spec().violations(catalog: catalog, now: .now).isEmpty)
    let chat = Samples.spec { $0.prompt = .messages([ChatMessage(role: "user", content: "x")]) }
    #expect(chat.violations(catalog: catalog, now: .now).isEmpty)
    let samples = Samples.spec { $0.sampling.outputs = 64 }
    #expect(samples.violations(catalog: catalog, now: .now).isEmpty)
    let search = Samples.spec {
      ($0.sampling.outputs, $0.sampling.temperature) = (4, 0)
      $0.sampling.strategy = .beam(width: 4, lengthPenalty: -10, stopsEarly: true)
    }
    #expect(search.violations(catalog: catalog, now: .now).isEmpty)
  }
}
