/// How many prompt tokens a step may hold beside sequences that wait for their next token, so that
/// these wait no longer than a target.
///
/// It learns from the steps that were: what one takes that only continues outputs, and what each
/// prompt token adds. Costs that rise are believed at once by half, those that fall little by little:
/// a step too long is felt, one too short is not. A pure value; what it decides changes no output.
package struct StepPacer {
  /// The fewest prompt tokens of a step, so that prompts always go on: what the kernels take at once.
  package static let leastTokens = 16

  /// Seconds that a step should take at most.
  package let target: Double
  private var decodeSeconds = 0.0
  private var tokenSeconds: Double?

  /// Knows nothing yet.
  package init(target: Double) { self.target = target }

  /// Prompt tokens for the next step.
  package var tokens: Int {
    // Nothing is known of a machine that may be slow.
    guard let tokenSeconds else { return 4 * Self.leastTokens }
    let count = (target - decodeSeconds) / tokenSeconds
    return count < Double(Self.leastTokens) ? Self.leastTokens : Int(min(count, 1e9))
  }

  /// Takes note of a step: its prompt tokens, the tokens that continued outputs, and its time.
  package mutating func record(prefill: Int, decode: Int, seconds: Double) {
    guard seconds.isFinite, seconds > 0 else { return }
    if prefill == 0 {
      decodeSeconds = Self.blend(decodeSeconds, seconds)
    } else {
      // What is left for the prompt where the rest is as before; at least a tenth, should the rest
      // have become cheaper.
      let rest = decode > 0 ? decodeSeconds : 0
      let cost = max(seconds - rest, seconds / 10) / Double(prefill)
      // A few tokens say little of what one costs: the step's own cost is never quite as before.
      let weight = min(1, Double(prefill) / Double(2 * Self.leastTokens))
      tokenSeconds = tokenSeconds.map { Self.blend($0, cost, weight: weight) } ?? cost
    }
  }

  private static func blend(_ old: Double, _ new: Double, weight: Double = 1) -> Double {
    old + (new - old) * weight * weight * (new > old ? 0.5 : 0.1)
  }
}
