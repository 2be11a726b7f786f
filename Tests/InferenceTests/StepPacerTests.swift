import Inference
import TestModels
import Testing

@Suite("Step pacer")
struct StepPacerTests {
  /// A machine on which a step costs something by itself and something for each prompt token, more
  /// or less.
  struct Machine {
    var step = 0.03
    var token = 0.002
    var numbers = SeededNumbers(seed: 9)

    mutating func seconds(prefill: Int) -> Double {
      let noise = Double(numbers.fixedFloat(in: 0.85...1.15))
      return (step + token * Double(prefill)) * noise
    }
  }

  /// Runs steps, every third without prompts; returns the times of those with.
  private static func run(
    _ pacer: inout StepPacer, _ machine: inout Machine, steps: Int
  ) -> [Double] {
    (0..<steps).compactMap { step in
      let prefill = step % 3 == 0 ? 0 : pacer.tokens
      let seconds = machine.seconds(prefill: prefill)
      pacer.record(prefill: prefill, decode: 4, seconds: seconds)
      return prefill == 0 ? nil : seconds
    }
  }

  @Test("Steps come close to the target and not far beyond", arguments: [0.1, 0.25, 1.0])
  func keepsTarget(target: Double) {
    var pacer = StepPacer(target: target)
    var machine = Machine()
    _ = Self.run(&pacer, &machine, steps: 20)
    let times = Self.run(&pacer, &machine, steps: 300)
    #expect(times.allSatisfy { $0 < 1.3 * target })
    #expect(times.reduce(0, +) / Double(times.count) > 0.7 * target)
  }

  @Test("A machine that becomes slower is followed within a few steps, one that recovers too")
  func follows() {
    var pacer = StepPacer(target: 0.25)
    var machine = Machine()
    _ = Self.run(&pacer, &machine, steps: 50)
    let before = pacer.tokens
    (machine.step, machine.token) = (0.06, 0.01)
    _ = Self.run(&pacer, &machine, steps: 9)
    #expect(Self.run(&pacer, &machine, steps: 60).allSatisfy { $0 < 1.35 * 0.25 })
    #expect(pacer.tokens < before / 4)
    (machine.step, machine.token) = (0.03, 0.002)
    _ = Self.run(&pacer, &machine, steps: 200)
    #expect(pacer.tokens > before * 7 / 10)
  }

  @Test("Steps with few prompt tokens do not make tokens look dear", arguments: [1, 5])
  func fewTokens(prefill: Int) {
    var pacer = StepPacer(target: 0.25)
    var machine = Machine()
    _ = Self.run(&pacer, &machine, steps: 100)
    let before = pacer.tokens
    for step in 0..<300 {
      let count = step % 3 == 0 ? 0 : prefill
      pacer.record(prefill: count, decode: 4, seconds: machine.seconds(prefill: count))
    }
    #expect(pacer.tokens > before / 2)
  }

  @Test("Prompts go on whatever the target is, and nothing is believed of a broken clock")
  func limits() {
    var pacer = StepPacer(target: 1e-6)
    #expect(pacer.tokens == 64)
    pacer.record(prefill: 64, decode: 1, seconds: 1)
    #expect(pacer.tokens == StepPacer.leastTokens)
    for seconds in [Double.nan, .infinity, 0, -1] {
      pacer.record(prefill: 1, decode: 1, seconds: seconds)
    }
    #expect(pacer.tokens == StepPacer.leastTokens)
    var quick = StepPacer(target: 1e300)
    quick.record(prefill: 1, decode: 0, seconds: 1e-300)
    #expect(quick.tokens == 1_000_000_000)
  }
}
