import Inference
import Tensors
import TestModels
import Testing

/// A random load on a scheduler, over a cache in which every place notes what was computed for it.
///
/// What is computed for a token is a number made from the one at the place before it, read through
/// the sequence's blocks, and from the token: like keys and values a function of all tokens up to
/// there, wrong as soon as a block is shared, overwritten or reused wrongly. The next token is made
/// from the last such number, so that wrong blocks make wrong outputs.
struct SchedulerSimulation {
  /// A sequence as it should come out.
  private struct Sequence {
    let arrival: Scheduler.Arrival
    let number: Int
    /// Counts forks; they stand behind what they come from.
    var fork = 0
    /// Tokens from the first on that are given, and not made from what was computed.
    var given: Int
    var tokens: [Int32]

    var rank: (Int, Int, Int) { (-arrival.priority, number, fork) }
  }

  private let limits: Scheduler.Limits
  private let contextLength: Int
  private var numbers: SeededNumbers
  private var scheduler: Scheduler
  /// What each place of each block holds, [block][offset].
  private var cache: [[UInt64]]
  private var live: [UInt64: Sequence] = [:]
  /// Sequences that rest with all their tokens computed: the token that each gets, and in how many
  /// steps.
  private var resting: [UInt64: (token: Int32, steps: Int)] = [:]
  private var stems: [[Int32]] = []
  private var arrivalsLeft: Int
  private var arrived = 0
  /// Steps in which nothing arrived since.
  private var stepsSinceArrival = 0
  private(set) var finished = 0
  private(set) var cancelled = 0
  /// Drafted tokens that were accepted.
  private(set) var accepted = 0
  /// Sequences that were forked from others.
  private(set) var forks = 0
  var statistics: Scheduler.Statistics { scheduler.statistics }
  var evictions: Int { scheduler.pool.evictions }
  /// Blocks that sequences gave back because their tokens had left the window.
  private(set) var passed = 0

  init(seed: UInt64, caching: Bool, windowed: Bool = false) {
    var numbers = SeededNumbers(seed: seed)
    let blockTokens = [1, 2, 4, 16][Int.random(in: 0..<4, using: &numbers)]
    // Windows move on by steps of 64 tokens.
    contextLength = Int.random(in: 20...120, using: &numbers) * (windowed ? 4 : 1)
    let window = AttentionWindow(
      tokens: Int.random(in: 1...100, using: &numbers),
      sinks: Int.random(in: 0...20, using: &numbers))
    limits = Scheduler.Limits(
      tokens: Int.random(in: 4...40, using: &numbers),
      chunk: Int.random(in: 1...30, using: &numbers),
      drafts: Int.random(in: 0...12, using: &numbers), window: windowed ? window : nil)
    let contexts = Int.random(in: 10...40, using: &numbers)
    // From room for just one context up to four.
    let count = limits.mostBlocks(for: contextLength, blockTokens: blockTokens) * contexts / 10
    scheduler = Scheduler(
      limits: limits,
      pool: BlockPool(count: count, blockTokens: blockTokens, cachesPrefixes: caching))
    cache = Array(repeating: Array(repeating: 0, count: blockTokens), count: count)
    arrivalsLeft = Int.random(in: 1...60, using: &numbers)
    for _ in 0..<3 { stems.append(Self.tokens(contextLength / 2, &numbers)) }
    self.numbers = numbers
  }

  /// Runs until all have arrived and left.
  mutating func run() {
    while arrivalsLeft > 0 || !live.isEmpty {
      arrive()
      guard step() else { return }
      cancel()
    }
    #expect(scheduler.pool.available == scheduler.pool.count && scheduler.count == 0)
    #expect(scheduler.schedule().isEmpty)
  }

  private mutating func arrive() {
    stepsSinceArrival += 1
    while arrivalsLeft > 0, live.count < limits.tokens,
      live.isEmpty || Int.random(in: 0..<4, using: &numbers) == 0
    {
      arrivalsLeft -= 1
      arrived += 1
      stepsSinceArrival = 0
      var known = stems.randomElement(using: &numbers) ?? []
      known.removeLast(Int.random(in: 0..<known.count, using: &numbers))
      known += Self.tokens(Int.random(in: 0..<contextLength / 4, using: &numbers), &numbers)
      let arrival = Scheduler.Arrival(
        sequence: UInt64(arrived), tokens: known,
        promptTokens: Int.random(in: 1...known.count, using: &numbers),
        tokenLimit: Int.random(in: known.count + 1...contextLength, using: &numbers),
        priority: Int.random(in: 0...2, using: &numbers),
        salt: [nil, "tenant"].randomElement(using: &numbers) ?? nil)
      live[arrival.sequence] = Sequence(
        arrival: arrival, number: arrived, given: known.count, tokens: known)
      scheduler.add(arrival)
    }
  }

  /// Does one step and checks it; returns false where going on makes no sense.
  private mutating func step() -> Bool {
    let pace = Bool.random(using: &numbers) ? Int.random(in: 1...20, using: &numbers) : nil
    let wishes = scheduler.decoding.map { ($0, Int.random(in: 0...6, using: &numbers)) }
    let works = scheduler.schedule(pace: pace, drafts: Dictionary(uniqueKeysWithValues: wishes))
    #expect(works.reduce(0) { $0 + $1.count + $1.drafts } <= limits.tokens)
    #expect(works.reduce(0) { $0 + $1.drafts } <= limits.drafts)
    #expect(works.allSatisfy { $0.count >= 1 && $0.count <= limits.chunk })
    #expect(Set(works.map(\.sequence)).count == works.count)
    // Nobody starves: whoever is first by priority, then age, always goes on, or a fork of it.
    let first = live.values.min { $0.rank < $1.rank }
    let rests = live.contains { $0.value.number == first?.number && resting[$0.key] != nil }
    guard let first,
      rests || works.contains(where: { live[$0.sequence]?.number == first.number })
    else {
      Issue.record("The first in rank has nothing to do")
      return false
    }
    let drafts = works.map { draft($0) }
    let computed = zip(works, drafts).map { compute($0, $1) }
    for (index, work) in works.enumerated() {
      // Some rest for a few steps; one that had to give way meanwhile comes to the same again.
      let rests = resting[work.sequence] != nil || Int.random(in: 0..<10, using: &numbers) == 0
      if work.isLast, drafts[index].isEmpty, rests, let value = computed[index].last {
        scheduler.postprocess(work)
        let steps = resting[work.sequence]?.steps ?? Int.random(in: 0...3, using: &numbers)
        resting[work.sequence] = (Self.next(value), steps)
      } else if resting[work.sequence] == nil {
        postprocess(work, drafts[index], computed[index])
      } else {
        scheduler.postprocess(work)
      }
    }
    wake()
    #expect(scheduler.problem == nil)
    // From the last arrival on, the first in rank is never held up, so that there is an end.
    let isInTime = stepsSinceArrival <= 60 * contextLength
    #expect(isInTime)
    return isInTime
  }

  /// Drafts at most as many tokens as there is room for: the right ones until a wrong one.
  private mutating func draft(_ work: Scheduler.Work) -> [Int32] {
    guard work.drafts > 0, let sequence = live[work.sequence] else { return [] }
    #expect(work.isLast && work.count == 1)
    var value = sequence.tokens.reduce(Self.value(salt: sequence.arrival.salt), Self.value)
    return (0..<Int.random(in: 0...work.drafts, using: &numbers)).map { _ in
      let isRight = Int.random(in: 0..<4, using: &numbers) > 0
      let token = Self.next(value) ^ (isRight ? 0 : 1)
      value = Self.value(value, token)
      return token
    }
  }

  /// Computes a run; returns what its last known token and each of the drafted ones came to.
  private mutating func compute(_ work: Scheduler.Work, _ drafts: [Int32]) -> [UInt64] {
    let blocks = scheduler.blocks(of: work.sequence)
    passed += blocks.count { $0 < 0 }
    guard let sequence = live[work.sequence] else { return [] }
    let size = scheduler.pool.blockTokens
    var isWrong = false
    var value = Self.value(salt: sequence.arrival.salt)
    var values: [UInt64] = []
    let tokens = sequence.tokens[..<(work.start + work.count)] + drafts
    for position in tokens.indices {
      value = Self.value(value, tokens[position])
      if let window = limits.window, position >= window.sinks,
        position < window.firstRead(at: work.start)
      {
        continue
      }
      guard blocks[position / size] >= 0 else {
        Issue.record("\(work) sees a token whose block was given back")
        return []
      }
      let (block, offset) = (Int(blocks[position / size]), position % size)
      if position >= work.start {
        cache[block][offset] = value
      } else {
        isWrong = isWrong || cache[block][offset] != value
        value = cache[block][offset]
      }
      if position >= work.start + work.count - 1 { values.append(value) }
    }
    #expect(!isWrong, "\(work) reads another prefix")
    return values
  }

  private mutating func postprocess(
    _ work: Scheduler.Work, _ drafts: [Int32], _ values: [UInt64]
  ) {
    guard let sequence = live[work.sequence] else { return }
    #expect(work.isLast == (work.start + work.count == sequence.tokens.count))
    var tokens: [Int32] = []
    if work.isLast {
      for value in values {
        tokens.append(Self.next(value))
        guard tokens.count <= drafts.count, drafts[tokens.count - 1] == tokens.last else { break }
      }
    }
    scheduler.postprocess(work, tokens: tokens)
    guard !tokens.isEmpty else { return }
    accepted += tokens.count - 1
    live[work.sequence]?.tokens += tokens
    endIfFull(work.sequence)
  }

  /// Lets those go on that have rested for long enough, some of them forked before.
  private mutating func wake() {
    for (id, rest) in resting.sorted(by: { $0.key < $1.key }) {
      resting[id]?.steps -= 1
      guard rest.steps == 0 else { continue }
      resting[id] = nil
      fork(id)
      append(rest.token, to: id)
    }
  }

  private mutating func endIfFull(_ id: UInt64) {
    guard let sequence = live[id] else { return }
    #expect(sequence.tokens.count <= sequence.arrival.tokenLimit)
    guard sequence.tokens.count == sequence.arrival.tokenLimit else { return }
    check(id)
    leave(id)
    finished += 1
  }

  /// Lets up to two copies of a resting sequence, or of a part of it, go on with a token each.
  private mutating func fork(_ parent: UInt64) {
    for _ in 0..<Int.random(in: 0...2, using: &numbers) where live.count < limits.tokens {
      guard var new = live[parent] else { return }
      forks += 1
      let id = UInt64(1_000_000 + forks)
      let count = Int.random(in: max(new.tokens.count - 3, 1)...new.tokens.count, using: &numbers)
      if let copy = scheduler.fork(parent, into: id, tokens: count) {
        cache[Int(copy.to)] = cache[Int(copy.from)]
      }
      new.fork = forks
      new.tokens.removeLast(new.tokens.count - count)
      new.given = count + 1
      live[id] = new
      append(Int32.random(in: 0...1, using: &numbers), to: id)
    }
  }

  private mutating func append(_ token: Int32, to id: UInt64) {
    scheduler.append(token, to: id)
    live[id]?.tokens.append(token)
    endIfFull(id)
  }

  private func check(_ id: UInt64) {
    guard let sequence = live[id] else { return }
    var value = Self.value(salt: sequence.arrival.salt)
    for (position, token) in sequence.tokens.enumerated() {
      if position >= sequence.given { #expect(token == Self.next(value)) }
      value = Self.value(value, token)
    }
    #expect(scheduler.tokens(of: id) == sequence.tokens)
    let known = sequence.arrival.tokens.count
    #expect(scheduler.cachedPromptTokens(of: id) <= min(known - 1, sequence.arrival.promptTokens))
  }

  private mutating func cancel() {
    guard Int.random(in: 0..<50, using: &numbers) == 0,
      let id = live.keys.sorted().randomElement(using: &numbers)
    else { return }
    leave(id)
    cancelled += 1
    #expect(scheduler.problem == nil)
  }

  private mutating func leave(_ id: UInt64) {
    resting[id] = nil
    scheduler.remove(id)
    live[id] = nil
  }

  private static func tokens(_ count: Int, _ numbers: inout SeededNumbers) -> [Int32] {
    (0..<count).map { _ in Int32.random(in: 0...1, using: &numbers) }
  }

  private static func value(salt: String?) -> UInt64 { salt == nil ? 1 : 2 }

  private static func value(_ before: UInt64, _ token: Int32) -> UInt64 {
    var mixer = SeededNumbers(seed: before ^ UInt64(UInt32(bitPattern: token)))
    return mixer.next()
  }

  private static func next(_ value: UInt64) -> Int32 { Int32(value >> 63) }
}
