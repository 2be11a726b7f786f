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
    var numbers = SeededNumbers(seed: 2_000)
    return try (0..<count).flatMap { index in
      let text = try [openings, heroes, deeds, endings].enumerated().map { place, parts in
        (place == 0 || place == 3 ? "" : " ")
          + (try #require(parts.randomElement(using: &numbers)))
      }.joined()
      let prompt = model.encodePrompt(text)
      let seeded = SamplingOptions(
        temperature: Float.random(in: 0.5...1.5, using: &numbers),
        topK: Bool.random(using: &numbers) ? 40 : 0,
        topP: Bool.random(using: &numbers) ? 0.9 : 1,
        minP: Bool.random(using: &numbers) ? 0.05 : 0,
        repetitionPenalty: Bool.random(using: &numbers) ? 1.1 : 1, seed: UInt64(index))
      let length = Int.random(in: 4...28, using: &numbers)
      return [SamplingOptions(), seeded].enumerated().map { kind, options in
        var options = options
        options.maxTokens = length
        options.logprobs = 1
        return GenerationRequest(
          sequence: UInt64(2 * index + kind), promptTokens: prompt, options: options)
      }
    }
  }
}
