import Foundation
import JobQueue
import JobStorePostgres
import Testing

/// SplitMix64: the same seed gives the same test on every machine.
struct SeededGenerator: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }
}

/// Random sequences of operations, carried out on both stores with one clock and the same ids:
/// every answer and the whole state must be equal.
@Suite(.serialized) struct InterleavingTests {
  /// The sequences of every run. One that once told the stores apart goes here by its seed.
  private static let knownSeeds: [UInt64] = Array(1...16)

  /// One sequence more, where MILLRACE_TEST_SEED is set: the one of that seed, or, where it is no
  /// number, one that was never tried before.
  private static let moreSeeds: [UInt64] =
    ProcessInfo.processInfo
    .environment["MILLRACE_TEST_SEED"].map { [UInt64($0) ?? .random(in: .min ... .max)] } ?? []

  @Test("both stores answer random sequences alike", arguments: knownSeeds + moreSeeds)
  func interleavings(seed: UInt64) async throws {
    try await run(seed: seed)
  }

  private func run(seed: UInt64) async throws {
    let clock = TestClock()
    let memory = InMemoryJobStore(now: { clock.now })
    let database = try await MigratedDatabases.shared.make()
    try await withPostgresStore(database, now: { clock.now }) { postgres in
      var script = RandomScript(seed: seed, clock: clock)
      for step in 0..<250 {
        let operation = script.next()
        let left = try await operation.run(memory)
        let right = try await operation.run(postgres)
        try #require(left == right, "seed \(seed), step \(step): \(operation.name)")
        script.observe(left)
      }
      for id in script.jobs {
        let left = try await memory.output(of: id, from: 0, maxTokens: 1_000)
        let right = try await postgres.output(of: id, from: 0, maxTokens: 1_000)
        #expect(left == right, "seed \(seed), job \(id)")
      }
      let left = try await memory.statistics()
      #expect(try await postgres.statistics() == left, "seed \(seed)")
      #expect(try await memory.executors() == postgres.executors(), "seed \(seed)")
    }
  }
}

/// One call on a store, and its answer in a form that can be compared.
struct Operation {
  var name: String
  var run: (any JobStore) async throws -> Answer

  enum Answer: Equatable {
    case submitted([SubmitResult])
    case claimed(ClaimResult)
    case written([WriteResult])
    case jobs([Job])
    case page(JobPage)
    case output(OutputPage?)
    case beat(HeartbeatResult)
    case flag(Bool)
    case refused(JobStoreError.Code)
    case done
  }
}

/// Chooses operations that make sense often enough to get somewhere, and nonsense now and then.
struct RandomScript {
  private var generator: SeededGenerator
  private let clock: TestClock
  private var executors: [ExecutorID] = []
  private(set) var jobs: [JobID] = []
  private var leases: [(executor: ExecutorID?, lease: Lease)] = []
  private var committed: [JobID: Int] = [:]

  /// The id of an executor that nobody registered.
  private static let noID: uuid_t = (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)

  init(seed: UInt64, clock: TestClock) {
    generator = SeededGenerator(state: seed)
    self.clock = clock
  }

  mutating func observe(_ answer: Operation.Answer) {
    switch answer {
    case .submitted(let results):
      for result in results where result.isNew { jobs.append(result.job.id) }
    case .claimed(let claimed):
      for job in claimed.jobs {
        leases.append((job.job.executor, job.lease))
        committed[job.job.id] = job.committedTokens.count
      }
    case .output(let page?): committed[page.job.id] = Int(page.job.usage.outputTokens)
    default: break
    }
  }

  mutating func next() -> Operation {
    clock.advance(
      by: .microseconds(chance(3) ? 0 : Int64.random(in: 1...900_000, using: &generator)))
    if chance(25) { clock.advance(by: .seconds(31)) }
    switch Int.random(in: 0..<20, using: &generator) {
    case 0..<3: return submit()
    case 3: return register()
    case 4..<7: return claim()
    case 7..<11: return write()
    case 11: return release()
    case 12, 13: return heartbeat()
    case 14: return cancel()
    case 15: return maintenance()
    case 16: return forgetOrDrain()
    case 17: return list()
    default: return output()
    }
  }

  private mutating func chance(_ oneIn: Int) -> Bool {
    Int.random(in: 0..<oneIn, using: &generator) == 0
  }

  private mutating func anyLease() -> (executor: ExecutorID?, lease: Lease)? {
    guard var found = leases.randomElement(using: &generator) else { return nil }
    if chance(15) { found.lease.epoch += 1 }
    return found
  }

  private mutating func submit() -> Operation {
    let now = clock.now
    let submissions = (0..<Int.random(in: 1...4, using: &generator)).map { _ in
      let id = JobID.make(at: now, using: &generator)
      let runAfter = chance(5) ? now + .seconds(Int64.random(in: 1...40, using: &generator)) : nil
      let deadline = chance(5) ? now + .seconds(Int64.random(in: 41...90, using: &generator)) : nil
      let name = chance(3) ? "r\(Int.random(in: 0..<9, using: &generator))" : nil
      return Submission(
        id: id, tenant: ["a", "b", "c"].randomElement(using: &generator) ?? "a", requestID: name,
        spec: GenerationSpec(
          model: chance(3) ? "m2" : "m1", prompt: .tokens([1, 2]),
          sampling: SamplingParameters(seed: generator.next()),
          priority: Int32.random(in: -1...1, using: &generator), runAfter: runAfter,
          deadline: deadline, maxAttempts: Int32.random(in: 1...3, using: &generator)))
    }
    return Operation(name: "submit") { .submitted(try await $0.submit(submissions)) }
  }

  private mutating func register() -> Operation {
    let bytes = (generator.next(), generator.next())
    let id =
      chance(3) && !executors.isEmpty
      ? executors[0]
      : ExecutorID(withUnsafeBytes(of: bytes) { UUID(uuid: $0.load(as: uuid_t.self)) })
    executors.append(id)
    let description = ExecutorDescription(
      id: id, host: "h", processID: 1, models: ["m1"], slots: 4)
    return Operation(name: "register") {
      try await $0.register(description, leaseDuration: .seconds(30))
      return .done
    }
  }

  private mutating func claim() -> Operation {
    let request = ClaimRequest(
      executor: executors.randomElement(using: &generator) ?? ExecutorID(UUID(uuid: Self.noID)),
      room: [
        "m1": Int.random(in: 0...4, using: &generator),
        "m2": Int.random(in: 0...2, using: &generator),
      ])
    return Operation(name: "claim") { .claimed(try await $0.claim(request)) }
  }

  private mutating func write() -> Operation {
    var writes: [LeaseWrite] = []
    for _ in 0..<Int.random(in: 1...3, using: &generator) {
      guard let lease = anyLease()?.lease else { continue }
      let start = (committed[lease.job] ?? 0) + (chance(8) ? 1 : 0)
      let tokens = (0..<Int.random(in: 0...3, using: &generator)).map { Int32(start + $0) }
      let end: JobEnd? =
        chance(5)
        ? chance(3)
          ? .failed(JobFailure(code: .engine, message: "lost"))
          : .succeeded(.stop, alternatives: start % 3 == 0 ? [.length] : [])
        : nil
      writes.append(
        StoreUnderTest.write(
          lease, from: chance(6) ? nil : start, tokens,
          outputs: start % 2 == 0 ? nil : tokens.map { $0 % 3 }, end: end))
      committed[lease.job] = start + tokens.count
    }
    let group = writes
    return Operation(name: "write") { .written(try await $0.write(group)) }
  }

  private mutating func release() -> Operation {
    guard let (executor, lease) = anyLease(), let executor else { return list() }
    let isAbandoned = chance(3)
    return Operation(name: isAbandoned ? "abandon" : "release") {
      if isAbandoned {
        try await $0.abandon([lease], executor: executor)
      } else {
        try await $0.release([lease], executor: executor)
      }
      return .done
    }
  }

  private mutating func heartbeat() -> Operation {
    guard let executor = executors.randomElement(using: &generator) else { return register() }
    let named = chance(4) ? [] : leases.filter { $0.executor == executor }.map(\.lease)
    return Operation(name: "heartbeat") {
      .beat(
        try await $0.heartbeat(executor, leases: named, leaseDuration: .seconds(30)))
    }
  }

  private mutating func cancel() -> Operation {
    guard let id = jobs.randomElement(using: &generator) else { return submit() }
    let tenant = chance(3) ? "a" : nil
    return Operation(name: "cancel") {
      .jobs([try await $0.cancel(id, tenant: tenant)].compactMap { $0 })
    }
  }

  private mutating func maintenance() -> Operation {
    let limit = Int.random(in: 1...5, using: &generator)
    if chance(2) {
      return Operation(name: "rescue") {
        .jobs(try await $0.rescue(limit: limit).sorted { $0.id < $1.id })
      }
    }
    return Operation(name: "expire") {
      .jobs(try await $0.expire(limit: limit).sorted { $0.id < $1.id })
    }
  }

  private mutating func forgetOrDrain() -> Operation {
    guard let executor = executors.randomElement(using: &generator) else { return register() }
    if chance(3) {
      return Operation(name: "drain") { .flag(try await $0.drain(executor)) }
    }
    return Operation(name: "deregister") {
      try await $0.deregister(executor)
      return .done
    }
  }

  private mutating func list() -> Operation {
    let filter = JobFilter(
      tenant: chance(2) ? "b" : nil, states: chance(2) ? [.queued, .failed] : [],
      model: chance(3) ? "m1" : nil)
    let page = PageRequest(size: Int.random(in: 1...9, using: &generator))
    return Operation(name: "list") { .page(try await $0.list(filter, page: page)) }
  }

  private mutating func output() -> Operation {
    guard let id = jobs.randomElement(using: &generator) else { return submit() }
    let index = Int.random(in: 0...4, using: &generator)
    let limit = Int.random(in: 1...6, using: &generator)
    return Operation(name: "output") {
      .output(try await $0.output(of: id, from: index, maxTokens: limit))
    }
  }
}
