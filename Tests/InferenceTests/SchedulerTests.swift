import Inference
import TestModels
import Testing

@Suite("Scheduler")
struct SchedulerTests {
  private func work(
    _ sequence: UInt64, _ start: Int, _ count: Int, last: Bool, prefill: Bool
  ) -> Scheduler.Work {
    Scheduler.Work(
      sequence: sequence, start: start, count: count, isLast: last, isPrefill: prefill)
  }

  @Test("A prompt is computed in chunks, then the sequence decodes")
  func chunks() {
    var scheduler = Scheduler(limits: Scheduler.Limits(tokens: 100, chunk: 4))
    scheduler.add(7, tokens: 10)
    var seen: [Scheduler.Work] = []
    for _ in 0..<5 {
      for item in scheduler.schedule() {
        seen.append(item)
        scheduler.postprocess(item, addsToken: item.isLast)
      }
    }
    #expect(
      seen == [
        work(7, 0, 4, last: false, prefill: true), work(7, 4, 4, last: false, prefill: true),
        work(7, 8, 2, last: true, prefill: true), work(7, 10, 1, last: true, prefill: false),
        work(7, 11, 1, last: true, prefill: false),
      ])
  }

  @Test("Decode tokens come first, what is left goes to prompts, oldest first")
  func mixes() {
    var scheduler = Scheduler(limits: Scheduler.Limits(tokens: 8, chunk: 5))
    scheduler.add(1, tokens: 3)
    for item in scheduler.schedule() { scheduler.postprocess(item, addsToken: true) }
    scheduler.add(2, tokens: 6)
    scheduler.add(3, tokens: 6)
    #expect(
      scheduler.schedule() == [
        work(1, 3, 1, last: true, prefill: false), work(2, 0, 5, last: false, prefill: true),
        work(3, 0, 2, last: false, prefill: true),
      ])
  }

  @Test("Random loads: never over budget, every token once and in order, nobody starves")
  func randomLoads() {
    var numbers = SeededNumbers(seed: 8)
    for _ in 0..<50 {
      let sequences = Int.random(in: 1...12, using: &numbers)
      let limits = Scheduler.Limits(
        tokens: Int.random(in: sequences...40, using: &numbers),
        chunk: Int.random(in: 1...20, using: &numbers))
      var scheduler = Scheduler(limits: limits)
      var left: [UInt64: Int] = [:]
      var next: [UInt64: Int] = [:]
      for id in 0..<UInt64(sequences) {
        scheduler.add(id, tokens: Int.random(in: 1...90, using: &numbers))
        left[id] = Int.random(in: 1...30, using: &numbers)
        next[id] = 0
      }
      var steps = 0
      while scheduler.count > 0 {
        let works = scheduler.schedule()
        #expect(!works.isEmpty && works.reduce(0) { $0 + $1.count } <= limits.tokens)
        #expect(works.allSatisfy { $0.count <= limits.chunk && $0.start == next[$0.sequence] })
        for item in works {
          next[item.sequence] = item.start + item.count
          scheduler.postprocess(item, addsToken: item.isLast)
          if item.isLast { left[item.sequence, default: 0] -= 1 }
          if left[item.sequence] == 0 { scheduler.remove(item.sequence) }
        }
        steps += 1
        #expect(steps < 2_000)
        if steps >= 2_000 { break }
      }
    }
  }

  @Test("The pool gives all or nothing, and takes everything back")
  func blocks() {
    var pool = BlockPool(count: 5)
    let first = pool.take(3)
    #expect(first == [0, 1, 2])
    #expect(pool.take(3) == nil && pool.available == 2)
    pool.giveBack(first ?? [])
    #expect(Set(pool.take(5) ?? []) == [0, 1, 2, 3, 4])
    #expect(pool.take(0) == [] && pool.take(-1) == nil)
  }
}
