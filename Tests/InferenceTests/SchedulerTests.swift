import Inference
import Testing

@Suite("Scheduler")
struct SchedulerTests {
  /// A scheduler with blocks of four tokens.
  private static func make(
    tokens: Int = 100, chunk: Int = 100, blocks: Int = 100, caching: Bool = false
  ) -> Scheduler {
    Scheduler(
      limits: Scheduler.Limits(tokens: tokens, chunk: chunk),
      pool: BlockPool(count: blocks, blockTokens: 4, cachesPrefixes: caching))
  }

  private static func arrival(
    _ sequence: UInt64, tokens: Int, priority: Int = 0, salt: String? = nil
  ) -> Scheduler.Arrival {
    Scheduler.Arrival(
      sequence: sequence, tokens: (0..<Int32(tokens)).map { $0 }, tokenLimit: 100,
      priority: priority, salt: salt)
  }

  private static func work(
    _ sequence: UInt64, _ start: Int, _ count: Int, last: Bool, prefill: Bool
  ) -> Scheduler.Work {
    Scheduler.Work(
      sequence: sequence, start: start, count: count, isLast: last, isPrefill: prefill)
  }

  /// Does a step; every sequence that can have a token gets its own number as one.
  @discardableResult
  private static func step(_ scheduler: inout Scheduler) -> [Scheduler.Work] {
    let works = scheduler.schedule()
    for work in works {
      scheduler.postprocess(work, tokens: work.isLast ? [Int32(work.sequence)] : [])
    }
    #expect(scheduler.problem == nil)
    return works
  }

  @Test("A prompt is computed in chunks, then the sequence decodes")
  func chunks() {
    var scheduler = Self.make(chunk: 4)
    scheduler.add(Self.arrival(7, tokens: 10))
    let seen = (0..<5).flatMap { _ in Self.step(&scheduler) }
    #expect(
      seen == [
        Self.work(7, 0, 4, last: false, prefill: true),
        Self.work(7, 4, 4, last: false, prefill: true),
        Self.work(7, 8, 2, last: true, prefill: true),
        Self.work(7, 10, 1, last: true, prefill: false),
        Self.work(7, 11, 1, last: true, prefill: false),
      ])
  }

  @Test("A pace holds prompts back only where somebody waits for the next token")
  func pace() {
    var scheduler = Self.make(chunk: 50)
    scheduler.add(Self.arrival(1, tokens: 3))
    #expect(!scheduler.isDecoding)
    var beside = scheduler
    #expect(
      beside.schedule(pace: 2, besideOthers: true)
        == [Self.work(1, 0, 2, last: false, prefill: true)])
    #expect(scheduler.schedule(pace: 2) == [Self.work(1, 0, 3, last: true, prefill: true)])
    scheduler.postprocess(Self.work(1, 0, 3, last: true, prefill: true), tokens: [9])
    scheduler.add(Self.arrival(2, tokens: 20))
    scheduler.add(Self.arrival(3, tokens: 20))
    #expect(
      scheduler.schedule(pace: 6) == [
        Self.work(1, 3, 1, last: true, prefill: false),
        Self.work(2, 0, 6, last: false, prefill: true),
      ])
  }

  @Test("Decode tokens come first, what is left goes to prompts, oldest first")
  func mixes() {
    var scheduler = Self.make(tokens: 8, chunk: 5)
    scheduler.add(Self.arrival(1, tokens: 3))
    Self.step(&scheduler)
    scheduler.add(Self.arrival(2, tokens: 6))
    scheduler.add(Self.arrival(3, tokens: 6))
    #expect(
      scheduler.schedule() == [
        Self.work(1, 3, 1, last: true, prefill: false),
        Self.work(2, 0, 5, last: false, prefill: true),
        Self.work(3, 0, 2, last: false, prefill: true),
      ])
  }

  @Test("Blocks are taken as tokens need them, one at a time")
  func grows() {
    var scheduler = Self.make()
    scheduler.add(Self.arrival(1, tokens: 3))
    let counts = (0..<7).map { _ in
      Self.step(&scheduler)
      return scheduler.blocks(of: 1).count
    }
    #expect(counts == [1, 1, 2, 2, 2, 2, 3])
    scheduler.remove(1)
    #expect(scheduler.pool.available == 100 && scheduler.count == 0)
    #expect(scheduler.schedule().isEmpty)
  }

  @Test("A higher priority goes first, then the older")
  func ranks() {
    var scheduler = Self.make(tokens: 4)
    for (sequence, priority) in [(1, 0), (2, -1), (3, 5), (4, 0), (5, 5)] {
      scheduler.add(Self.arrival(UInt64(sequence), tokens: 3, priority: priority))
    }
    var order: [UInt64] = []
    while scheduler.count > 0 {
      for work in scheduler.schedule() {
        scheduler.postprocess(work)
        guard work.isLast else { continue }
        order.append(work.sequence)
        scheduler.remove(work.sequence)
      }
    }
    #expect(order == [3, 5, 1, 4, 2])
  }

  @Test("A sequence waits until there are blocks for its next chunk, and none overtakes it")
  func admission() {
    var scheduler = Self.make(chunk: 8, blocks: 25)
    scheduler.add(Self.arrival(1, tokens: 90))
    while Self.step(&scheduler).last?.isLast != true {}
    #expect(scheduler.pool.available == 2)
    scheduler.add(Self.arrival(2, tokens: 12))
    scheduler.add(Self.arrival(3, tokens: 1))
    // The chunk of 8 fits into two blocks; after it there is none for the third one.
    #expect(
      scheduler.schedule() == [
        Self.work(1, 90, 1, last: true, prefill: false),
        Self.work(2, 0, 8, last: false, prefill: true),
      ])
    scheduler.remove(2)
    scheduler.add(Self.arrival(4, tokens: 1))
    let sequences = Self.step(&scheduler).map(\.sequence)
    #expect(sequences == [1, 3, 4])
  }

  @Test("When blocks run out, the lowest priority gives way, and of that the youngest")
  func preemption() {
    var scheduler = Self.make(blocks: 25)
    for (sequence, priority) in [(1, 0), (2, -1), (3, -1), (4, 0)] {
      scheduler.add(Self.arrival(UInt64(sequence), tokens: 24, priority: priority))
    }
    // Four times six blocks, and one more for the first of those that need a seventh.
    #expect(Self.step(&scheduler).map(\.sequence) == [1, 4, 2, 3])
    #expect(Self.step(&scheduler).map(\.sequence) == [1, 4, 2])
    #expect(scheduler.statistics.preemptions == 1 && scheduler.blocks(of: 3).isEmpty)
    #expect(scheduler.tokens(of: 3).count == 25)
    scheduler.remove(1)
    scheduler.remove(4)
    // All of what it knows is computed again, as prefill; then it goes on.
    let works = Self.step(&scheduler)
    #expect(works.last == Self.work(3, 0, 25, last: true, prefill: true))
    #expect(Self.step(&scheduler).last == Self.work(3, 25, 1, last: true, prefill: false))
  }

  @Test("A preempted sequence goes ahead of newer ones of its priority, when all of it fits")
  func returns() {
    var scheduler = Self.make(blocks: 25)
    scheduler.add(Self.arrival(1, tokens: 48))
    scheduler.add(Self.arrival(2, tokens: 48))
    Self.step(&scheduler)
    #expect(Self.step(&scheduler).map(\.sequence) == [1])
    scheduler.add(Self.arrival(3, tokens: 1))
    #expect(Self.step(&scheduler).map(\.sequence) == [1])
    scheduler.remove(1)
    #expect(Self.step(&scheduler).map(\.sequence) == [2, 3])
  }

  @Test("A waiting sequence makes lower priorities give way, and not its own")
  func precedence() {
    var scheduler = Self.make(blocks: 25)
    scheduler.add(Self.arrival(1, tokens: 45, priority: 1))
    scheduler.add(Self.arrival(2, tokens: 45))
    Self.step(&scheduler)
    scheduler.add(Self.arrival(3, tokens: 20))
    #expect(Self.step(&scheduler).map(\.sequence) == [1, 2])
    scheduler.add(Self.arrival(4, tokens: 20, priority: 1))
    #expect(Self.step(&scheduler).map(\.sequence) == [1, 4])
    #expect(scheduler.statistics.preemptions == 1)
    scheduler.remove(4)
    #expect(Self.step(&scheduler).map(\.sequence) == [1, 2])
    // Not even all blocks of lower priorities would do: they are left alone.
    scheduler.add(Self.arrival(5, tokens: 60, priority: 1))
    #expect(Self.step(&scheduler).map(\.sequence) == [1, 2])
    #expect(scheduler.statistics.preemptions == 1)
  }

  @Test("Lower priorities are left alone where their blocks are shared and would not come free")
  func sharedBlocks() {
    var scheduler = Self.make(blocks: 25, caching: true)
    scheduler.add(Self.arrival(1, tokens: 81, priority: 2))
    Self.step(&scheduler)
    scheduler.add(Self.arrival(2, tokens: 81))
    scheduler.add(Self.arrival(3, tokens: 81))
    Self.step(&scheduler)
    #expect(scheduler.pool.available == 2)
    // It wants five blocks; the two lower ones have 42, but only two of their own.
    scheduler.add(Self.arrival(4, tokens: 20, priority: 1, salt: "other"))
    #expect(Self.step(&scheduler).map(\.sequence) == [1, 2, 3])
    scheduler.remove(4)
    scheduler.add(Self.arrival(5, tokens: 16, priority: 1, salt: "other"))
    #expect(Self.step(&scheduler).map(\.sequence) == [1, 5])
    #expect(scheduler.statistics.preemptions == 2)
  }

  @Test("A prompt that was computed before is found, but for its last token")
  func prefixes() {
    var scheduler = Self.make(caching: true)
    scheduler.add(Self.arrival(1, tokens: 12))
    Self.step(&scheduler)
    scheduler.add(Self.arrival(2, tokens: 12))
    scheduler.add(Self.arrival(3, tokens: 11))
    scheduler.add(Self.arrival(4, tokens: 12, salt: "other"))
    #expect(
      Array(Self.step(&scheduler).dropFirst()) == [
        Self.work(2, 8, 4, last: true, prefill: true),
        Self.work(3, 8, 3, last: true, prefill: true),
        Self.work(4, 0, 12, last: true, prefill: true),
      ])
    #expect((1...4).map { scheduler.cachedPromptTokens(of: $0) } == [0, 8, 8, 0])
    // What the second one computed again is one block with that of the first.
    #expect(scheduler.blocks(of: 2) == Array(scheduler.blocks(of: 1).prefix(3)))
    #expect(scheduler.statistics.prefixHitTokens == 16)
    #expect(scheduler.statistics.prefixLookups == 4)
  }

  @Test("A prompt half computed goes on behind what others have computed meanwhile")
  func overtaken() {
    var scheduler = Self.make(tokens: 9, chunk: 6, caching: true)
    scheduler.add(Self.arrival(1, tokens: 30))
    scheduler.add(Self.arrival(2, tokens: 30))
    var computed: [UInt64: Int] = [:]
    for _ in 0..<8 {
      for work in Self.step(&scheduler) where work.isPrefill {
        computed[work.sequence, default: 0] += work.count
      }
    }
    #expect(computed[1] == 30)
    let cached = scheduler.cachedPromptTokens(of: 2)
    #expect(cached > 0 && (computed[2] ?? 0) + cached == 30)
  }

  @Test("A preempted sequence finds what is left of its blocks, which counts as no one's gift")
  func ownPrefix() {
    var scheduler = Self.make(blocks: 25, caching: true)
    scheduler.add(Self.arrival(1, tokens: 48))
    scheduler.add(
      Scheduler.Arrival(
        sequence: 2, tokens: Array(repeating: 9, count: 48), tokenLimit: 100, salt: "other"))
    Self.step(&scheduler)
    #expect(Self.step(&scheduler).map(\.sequence) == [1])
    scheduler.remove(1)
    #expect(Self.step(&scheduler) == [Self.work(2, 48, 1, last: true, prefill: true)])
    #expect(scheduler.cachedPromptTokens(of: 2) == 0)
    #expect(scheduler.statistics.prefixHitTokens == 48)
  }
}
