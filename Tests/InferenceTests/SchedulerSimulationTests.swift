import Inference
import Testing

@Suite("Scheduler under random loads")
struct SchedulerSimulationTests {
  @Test(
    "Every output is right, the books are too, and nobody starves", arguments: [true, false])
  func loads(caching: Bool) {
    var finished = 0
    var cancelled = 0
    var preemptions = 0
    var hitTokens = 0
    var evictions = 0
    var accepted = 0
    var forks = 0
    for seed in UInt64(1)...150 {
      var simulation = SchedulerSimulation(seed: seed, caching: caching)
      simulation.run()
      finished += simulation.finished
      cancelled += simulation.cancelled
      preemptions += simulation.statistics.preemptions
      hitTokens += simulation.statistics.prefixHitTokens
      evictions += simulation.evictions
      accepted += simulation.accepted
      forks += simulation.forks
    }
    print(
      "\(finished) finished, \(cancelled) cancelled, \(preemptions) preemptions, \(hitTokens) "
        + "tokens found, \(evictions) evictions, \(accepted) drafted tokens accepted, \(forks) forks"
    )
    #expect(finished > 1_000 && cancelled > 100 && preemptions > 1_000 && accepted > 1_000)
    #expect(forks > 1_000)
    #expect(caching ? hitTokens > 10_000 && evictions > 1_000 : hitTokens + evictions == 0)
  }

  @Test("So they are where tokens see a window only, whose blocks are given back")
  func windows() {
    var finished = 0
    var preemptions = 0
    var accepted = 0
    var forks = 0
    var passed = 0
    for seed in UInt64(1)...40 {
      var simulation = SchedulerSimulation(seed: seed, caching: false, windowed: true)
      simulation.run()
      finished += simulation.finished
      preemptions += simulation.statistics.preemptions
      accepted += simulation.accepted
      forks += simulation.forks
      passed += simulation.passed
    }
    print("\(finished) finished, \(preemptions) preemptions, \(passed) empty places seen")
    #expect(finished > 500 && preemptions > 100 && accepted > 500 && forks > 500)
    #expect(passed > 10_000)
  }
}
