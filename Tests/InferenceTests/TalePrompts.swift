import Inference
import TestModels
import Testing

/// Beginnings of tales, put together at random from a few parts.
enum TalePrompts {
  static let openings = [
    "Once upon a time there was", "There lived long ago", "In a far country there was once",
    "Beyond the hills there dwelt", "It is told that there was",
  ]
  static let heroes = [
    "a poor miller", "a king", "an old woman", "a little girl called Lily", "a fox", "a giant",
    "a young prince", "a fisherman", "two brothers", "a shepherd",
  ]
  static let deeds = [
    "who had three sons", "who lived beside the sea", "who had lost a golden ring",
    "who could speak with the birds", "who was never content", "who went out into the wide world",
    "who kept a white horse", "who had promised never to open the door",
  ]
  static let endings = [
    ".", ". One day", ". And when the night came,", ". \"Where are you going?\" said the wolf.",
    ", and the winter was so cold that the very crows fell down from the trees.",
    ". Now the eldest was proud, the second was idle, and the youngest was called Simpleton, because "
      + "he shared his bread with everyone who asked for it.",
  ]

  /// As many prompts, each greedy and seeded with a setting of its own.
  static func requests(_ model: LanguageModel, count: Int) throws -> [GenerationRequest] {
    try requests(model, count: count) { numbers in
      SamplingOptions(
        temperature: Float.random(in: 0.5...1.5, using: &numbers),
        topK: Bool.random(using: &numbers) ? 40 : 0,
        topP: Bool.random(using: &numbers) ? 0.9 : 1,
        minP: Bool.random(using: &numbers) ? 0.05 : 0,
        repetitionPenalty: Bool.random(using: &numbers) ? 1.1 : 1)
    }
  }

  /// As many prompts, each greedy and in a strategy with settings of its own.
  static func requestsOfAllStrategies(
    _ model: LanguageModel, count: Int
  ) throws -> [GenerationRequest] {
    try requests(model, count: count) { numbers in
      var options = Self.anySettings(&numbers)
      switch Int.random(in: 0..<6, using: &numbers) {
      case 0: options.outputs = Int.random(in: 2...4, using: &numbers)
      case 1:
        options.strategy = .beam(
          BeamSearchOptions(
            width: Int.random(in: 2...4, using: &numbers),
            lengthPenalty: Float.random(in: -1...2, using: &numbers),
            stopsEarly: Bool.random(using: &numbers)))
        options.outputs = Int.random(in: 1...2, using: &numbers)
      case 2:
        options.strategy = .contrastive(
          ContrastiveSearchOptions(
            topK: Int.random(in: 2...4, using: &numbers),
            alpha: Float.random(in: 0...1, using: &numbers)))
      case 3:
        options.minTokens = 0
        options.constraint = [
          .grammar("root ::= [a-z ]+ \", \" [a-z ]+ \".\""),
          .jsonSchema(#"{"type": "array", "items": {"enum": ["fox", "king", 7, null]}}"#),
        ].randomElement(using: &numbers)
      default: break
      }
      return options
    }
  }

  /// Settings of everything that changes which token is drawn and when an output ends.
  private static func anySettings(_ numbers: inout SeededNumbers) -> SamplingOptions {
    func maybe<Value>(_ value: Value, _ other: Value) -> Value {
      Bool.random(using: &numbers) ? value : other
    }
    return SamplingOptions(
      minTokens: maybe(3, 0), temperature: Float.random(in: 0.5...1.5, using: &numbers),
      topK: maybe(40, 0), typicalP: maybe(0.9, 1), topP: maybe(0.9, 1), minP: maybe(0.02, 0),
      repetitionPenalty: maybe(1.1, 1), presencePenalty: maybe(0.4, 0),
      frequencyPenalty: maybe(0.2, 0), stop: maybe([" the", "ing"], []),
      stopTokens: maybe([300], []), logitBias: maybe([280: 2, 290: -3], [:]))
  }

  private static func requests(
    _ model: LanguageModel, count: Int, _ settings: (inout SeededNumbers) -> SamplingOptions
  ) throws -> [GenerationRequest] {
    var numbers = SeededNumbers(seed: 2_000)
    return try (0..<count).flatMap { index in
      let text = try [openings, heroes, deeds, endings].enumerated().map { place, parts in
        (place == 0 || place == 3 ? "" : " ")
          + (try #require(parts.randomElement(using: &numbers)))
      }.joined()
      let prompt = model.encodePrompt(text)
      var other = settings(&numbers)
      other.seed = UInt64(index)
      let length = Int.random(in: 4...28, using: &numbers)
      return [SamplingOptions(), other].enumerated().map { kind, options in
        var options = options
        options.maxTokens = options.constraint == nil ? length : length + 8
        options.logprobs = 1
        return GenerationRequest(
          sequence: UInt64(2 * index + kind), promptTokens: prompt, options: options)
      }
    }
  }
}
