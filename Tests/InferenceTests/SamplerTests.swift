import Foundation
import Inference
import Tensors
import TestModels
import Testing

@Suite("Sampling")
struct SamplerTests {
  /// Logits whose probabilities are 0.4, 0.3, 0.15, 0.1 and 0.05, in an order of no meaning.
  static let probabilities: [Double] = [0.1, 0.4, 0.05, 0.3, 0.15]
  static let logits = probabilities.map { Float(log($0)) }

  private func choose(
    _ options: SamplingOptions, logits: [Float] = logits, random: Double = 0,
    prompt: [Int32] = [], output: [Int32] = []
  ) throws -> TokenSampler.Choice? {
    var history = TokenHistory(prompt: prompt)
    output.forEach { history.append($0) }
    var scratch = [Float](repeating: 0, count: logits.count)
    return TokenSampler(compute: try Compute(path: .auto), vocabulary: logits.count).choose(
      logits: logits, options: options, history: history, random: random, scratch: &scratch)
  }

  /// The tokens that an even sweep of random numbers chooses, with their shares.
  private func shares(_ options: SamplingOptions) throws -> [Int32: Double] {
    let steps = 2_000
    var counts: [Int32: Int] = [:]
    for step in 0..<steps {
      let random = (Double(step) + 0.5) / Double(steps)
      let choice = try #require(try choose(options, random: random))
      counts[choice.token, default: 0] += 1
    }
    return counts.mapValues { Double($0) / Double(steps) }
  }

  private func expect(_ shares: [Int32: Double], _ expected: [Int32: Double]) {
    #expect(shares.keys.sorted() == expected.keys.sorted())
    for (token, share) in expected { #expect(abs((shares[token] ?? 0) - share) < 0.002) }
  }

  @Test("Temperature 0 takes the likeliest, the lowest id among equals")
  func greedy() throws {
    #expect(try choose(SamplingOptions(), random: 0.99)?.token == 1)
    #expect(try choose(SamplingOptions(), logits: [0, 2, 2, 1])?.token == 1)
  }

  @Test("Temperature 1 draws by probability")
  func plain() throws {
    expect(
      try shares(SamplingOptions(temperature: 1)), [0: 0.1, 1: 0.4, 2: 0.05, 3: 0.3, 4: 0.15])
  }

  @Test("The random number walks the tokens in the order of their ids")
  func walk() throws {
    let options = SamplingOptions(temperature: 1)
    for (random, token) in [
      (0.0, 0), (0.09, 0), (0.11, 1), (0.49, 1), (0.52, 2), (0.56, 3), (0.999, 4),
    ] {
      #expect(try choose(options, random: random)?.token == Int32(token))
    }
  }

  @Test("Top-k keeps k")
  func topK() throws {
    expect(try shares(SamplingOptions(temperature: 1, topK: 2)), [1: 4.0 / 7, 3: 3.0 / 7])
    expect(try shares(SamplingOptions(temperature: 1, topK: 1)), [1: 1])
  }

  @Test("Top-p keeps the fewest that reach p, and counts after top-k")
  func topP() throws {
    expect(try shares(SamplingOptions(temperature: 1, topP: 0.69)), [1: 4.0 / 7, 3: 3.0 / 7])
    expect(
      try shares(SamplingOptions(temperature: 1, topP: 0.71)),
      [1: 40.0 / 85, 3: 30.0 / 85, 4: 15.0 / 85])
    // Of the three that top-k leaves (0.85 in all), two make up 0.82.
    expect(
      try shares(SamplingOptions(temperature: 1, topK: 3, topP: 0.8)), [1: 4.0 / 7, 3: 3.0 / 7])
  }

  @Test("Min-p keeps what is likely enough beside the likeliest")
  func minP() throws {
    expect(
      try shares(SamplingOptions(temperature: 1, minP: 0.3)),
      [1: 40.0 / 85, 3: 30.0 / 85, 4: 15.0 / 85])
    expect(
      try shares(SamplingOptions(temperature: 1, topK: 4, minP: 0.5)), [1: 4.0 / 7, 3: 3.0 / 7])
  }

  @Test("Truncation comes before temperature")
  func temperatureLast() throws {
    let total = 0.4.squareRoot() + 0.3.squareRoot()
    expect(
      try shares(SamplingOptions(temperature: 2, topP: 0.69)),
      [1: 0.4.squareRoot() / total, 3: 0.3.squareRoot() / total])
  }

  @Test("A bias is added first, penalties follow")
  func biasAndPenalties() throws {
    #expect(try choose(SamplingOptions(logitBias: [2: 100]))?.token == 2)
    #expect(try choose(SamplingOptions(logitBias: [1: -100]))?.token == 3)
    let logits: [Float] = [2, 3, -1]
    // 3 / 2 is below 2; a negative logit is multiplied.
    #expect(
      try choose(SamplingOptions(repetitionPenalty: 2), logits: logits, prompt: [1])?.token == 0)
    #expect(
      try choose(SamplingOptions(presencePenalty: 2), logits: logits, prompt: [1])?.token == 1)
    #expect(
      try choose(SamplingOptions(presencePenalty: 2), logits: logits, output: [1])?.token == 0)
    #expect(
      try choose(SamplingOptions(frequencyPenalty: 0.6), logits: logits, output: [1])?.token == 1)
    #expect(
      try choose(SamplingOptions(frequencyPenalty: 0.6), logits: logits, output: [1, 1])?.token == 0
    )
  }

  @Test("Log-probabilities are those of the unmodified logits")
  func logprobs() throws {
    let options = SamplingOptions(
      temperature: 0.5, topK: 1, logprobs: 3, logitBias: [2: 100])
    let choice = try #require(try choose(options))
    #expect(choice.token == 2)
    #expect(abs(Double(choice.logprob ?? 0) - log(0.05)) < 1e-5)
    #expect(choice.topLogprobs.map(\.token) == [1, 3, 4])
    for (entry, probability) in zip(choice.topLogprobs, [0.4, 0.3, 0.15]) {
      #expect(abs(Double(entry.logprob) - log(probability)) < 1e-5)
    }
    #expect(try choose(SamplingOptions())?.logprob == nil)
    #expect(try choose(SamplingOptions(logprobs: 0))?.topLogprobs == [])
  }

  @Test("Logits that are not finite give no choice", arguments: [Float.nan, .infinity])
  func notFinite(value: Float) throws {
    #expect(try choose(SamplingOptions(), logits: [1, value, 2]) == nil)
    #expect(try choose(SamplingOptions(temperature: 1), logits: [1, value, 2]) == nil)
  }

  @Test("The largest are found as a full sort finds them", arguments: [1, 2, 7, 64, 999, 5_000])
  func largest(count: Int) {
    var numbers = SeededNumbers(seed: UInt64(count))
    // Few different values, so that there are many equals.
    let logits = (0..<1_000).map { _ in Float(Int.random(in: -20...20, using: &numbers)) }
    let sorted = logits.enumerated()
      .sorted { $0.element != $1.element ? $0.element > $1.element : $0.offset < $1.offset }
      .map { TopSelection.Candidate(token: Int32($0.offset), logit: $0.element) }
    let found = logits.withUnsafeBufferPointer { TopSelection.largest(count, of: $0) }
    #expect(found == Array(sorted.prefix(count)))
  }
}
