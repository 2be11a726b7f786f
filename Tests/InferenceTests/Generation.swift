import Inference

/// An output put together from the steps that it came in.
struct Generation: Hashable {
  var tokens: [Int32] = []
  var pieces: [String] = []
  var logprobs: [UInt32] = []
  var topLogprobs: [TokenLogprob] = []
  var finish: FinishReason?
  var failure: InferenceError.Code?
  var trailing = ""
  /// Further outputs of the same request, by number.
  var alternatives: [Int: Generation] = [:]

  /// The tokens of all outputs, in order.
  var outputs: [[Int32]] { [tokens] + alternatives.sorted { $0.key < $1.key }.map(\.value.tokens) }

  var text: String { pieces.joined() + trailing }
}

/// Runs all requests to their ends, each beginning as soon as the engine takes it; `meanwhile` is
/// called after each step with its number.
func generate(
  _ engine: Engine, _ requests: [GenerationRequest], meanwhile: (Int) throws -> Void = { _ in }
) throws -> [UInt64: Generation] {
  var results: [UInt64: Generation] = [:]
  var waiting = requests[...]
  var step = 0
  while engine.hasWork || !waiting.isEmpty {
    while let request = waiting.first, engine.canAdmit(request) || !engine.hasWork {
      try engine.add(request)
      results[request.sequence] = Generation()
      waiting.removeFirst()
    }
    for output in try engine.step() { results[output.sequence]?.take(output) }
    step += 1
    try meanwhile(step)
  }
  return results
}

extension Generation {
  mutating func take(_ output: SequenceOutput) {
    guard output.output == 0 else {
      var first = output
      first.output = 0
      alternatives[output.output, default: Generation()].take(first)
      return
    }
    tokens += output.tokens.map(\.token)
    pieces += output.tokens.map(\.text)
    logprobs += output.tokens.compactMap { $0.logprob?.bitPattern }
    topLogprobs += output.tokens.flatMap(\.topLogprobs)
    trailing += output.trailingText
    finish = output.finish ?? finish
    failure = output.failure?.code ?? failure
  }
}
