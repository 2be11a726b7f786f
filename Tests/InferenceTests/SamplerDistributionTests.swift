import Foundation
import Inference
import Tensors
import TestModels
import Testing

/// Draws are held against the distribution that the parameters describe, computed anew in the
/// plainest way, by Pearson's chi-square test. The random numbers are fixed, so the result is, too.
@Suite("Distributions of sampling")
struct SamplerDistributionTests {
  private static let draws = 200_000

  struct Setting: Sendable, CustomTestStringConvertible {
    var name: String
    var options: SamplingOptions
    var testDescription: String { name }
  }

  static let settings: [Setting] = [
    Setting(name: "temperature 1", options: SamplingOptions(temperature: 1)),
    Setting(name: "temperature 0.5", options: SamplingOptions(temperature: 0.5)),
    Setting(name: "temperature 2", options: SamplingOptions(temperature: 2)),
    Setting(name: "top-k", options: SamplingOptions(temperature: 1, topK: 12)),
    Setting(name: "top-p", options: SamplingOptions(temperature: 1, topP: 0.8)),
    Setting(name: "typical", options: SamplingOptions(temperature: 1, typicalP: 0.7)),
    Setting(name: "min-p", options: SamplingOptions(temperature: 1, minP: 0.1)),
    Setting(
      name: "penalties",
      options: SamplingOptions(
        temperature: 1, repetitionPenalty: 1.3, presencePenalty: 0.4, frequencyPenalty: 0.2)),
    Setting(
      name: "bias", options: SamplingOptions(temperature: 1, logitBias: [3: 2, 5: -1, 8: -100])),
    Setting(
      name: "all of them",
      options: SamplingOptions(
        temperature: 1.4, topK: 40, typicalP: 0.95, topP: 0.9, minP: 0.02, repetitionPenalty: 1.1,
        presencePenalty: 0.2, frequencyPenalty: 0.1, logitBias: [7: 1])),
  ]

  private static let prompt: [Int32] = [1, 4, 9]
  private static let output: [Int32] = [4, 2, 2, 11, 4]

  @Test("200,000 draws fit the exact distribution", arguments: settings)
  func distribution(setting: Setting) throws {
    var numbers = SeededNumbers(seed: 12)
    let logits = numbers.floats(64, in: -3...3)
    let exact = Self.probabilities(logits, setting.options)
    var history = TokenHistory(prompt: Self.prompt)
    Self.output.forEach { history.append($0) }
    let sampler = TokenSampler(compute: try Compute(path: .auto), vocabulary: logits.count)
    var scratch = [Float](repeating: 0, count: logits.count)
    var counts = Array(repeating: 0, count: logits.count)
    for position in 0..<Self.draws {
      let choice = sampler.choose(
        logits: logits, options: setting.options, history: history,
        random: Philox.uniform(seed: 77, position: position), scratch: &scratch)
      counts[Int(try #require(choice).token)] += 1
    }
    for (count, probability) in zip(counts, exact) where probability == 0 { #expect(count == 0) }
    let (statistic, degrees) = Self.chiSquare(counts, exact)
    // Wilson and Hilferty's approximation of the quantile at 1 - 10^-5.
    let term = 2 / (9 * Double(degrees))
    let limit = Double(degrees) * pow(1 - term + 4.265 * term.squareRoot(), 3)
    print("\(setting.name): chi-square \(statistic) with \(degrees) degrees, limit \(limit)")
    #expect(statistic < limit)
    // A distribution a little aside is noticed.
    let (wrong, _) = Self.chiSquare(counts, Self.probabilities(logits, Self.aside(setting.options)))
    #expect(wrong > limit)
  }

  /// The same parameters at a temperature a tenth higher.
  private static func aside(_ options: SamplingOptions) -> SamplingOptions {
    var options = options
    options.temperature *= 1.1
    return options
  }

  private static func chiSquare(
    _ counts: [Int], _ probabilities: [Double]
  ) -> (statistic: Double, degrees: Int) {
    var sum = 0.0
    var cells = 0
    for (count, probability) in zip(counts, probabilities) where probability > 0 {
      let expected = probability * Double(draws)
      sum += (Double(count) - expected) * (Double(count) - expected) / expected
      cells += 1
    }
    return (sum, cells - 1)
  }

  /// What each token's probability should be, step by step as `docs/decoding.md` tells.
  private static func probabilities(_ logits: [Float], _ options: SamplingOptions) -> [Double] {
    var adjusted = logits.map(Double.init)
    for (token, bias) in options.logitBias { adjusted[Int(token)] += Double(bias) }
    for token in Set(prompt + output) {
      let value = adjusted[Int(token)]
      let penalty = Double(options.repetitionPenalty)
      adjusted[Int(token)] = value > 0 ? value / penalty : value * penalty
    }
    for token in Set(output) {
      let count = output.count { $0 == token }
      adjusted[Int(token)] -=
        Double(options.presencePenalty) + Double(options.frequencyPenalty) * Double(count)
    }
    var kept = Array(adjusted.indices).sorted { adjusted[$0] > adjusted[$1] }
    if options.topK > 0 { kept = Array(kept.prefix(options.topK)) }
    func shares(_ tokens: [Int], _ temperature: Double = 1) -> [Double] {
      let weights = tokens.map { exp(adjusted[$0] / temperature) }
      let total = weights.reduce(0, +)
      return weights.map { $0 / total }
    }
    func fewest(_ order: [Int], _ shares: [Double], _ mass: Double) -> [Int] {
      var sum = 0.0
      for (index, share) in shares.enumerated() {
        sum += share
        if sum >= mass { return Array(order.prefix(index + 1)) }
      }
      return order
    }
    if options.typicalP < 1 {
      let information = shares(kept).map { -log($0) }
      let entropy = zip(shares(kept), information).reduce(0) { $0 + $1.0 * $1.1 }
      let order = kept.indices.sorted {
        abs(information[$0] - entropy) < abs(information[$1] - entropy)
      }
      let all = shares(kept)
      kept = fewest(order.map { kept[$0] }, order.map { all[$0] }, Double(options.typicalP))
        .sorted { adjusted[$0] > adjusted[$1] }
    }
    if options.topP < 1 { kept = fewest(kept, shares(kept), Double(options.topP)) }
    let best = adjusted.max() ?? 0
    kept = kept.filter { adjusted[$0] >= best + log(Double(options.minP)) }
    var result = Array(repeating: 0.0, count: logits.count)
    for (token, share) in zip(kept, shares(kept, Double(options.temperature))) {
      result[token] = share
    }
    return result
  }
}
