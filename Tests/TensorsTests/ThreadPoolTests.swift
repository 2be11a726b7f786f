import Foundation
import Synchronization
import Tensors
import Testing

@Suite("Thread pool")
struct ThreadPoolTests {
  @Test("Every item is done exactly once, run after run", arguments: [1, 2, 3, 5, 16])
  func everyItemOnce(threads: Int) throws {
    let pool = try ThreadPool(threads: threads)
    let count = 97
    let visits = try AlignedBuffer<Int32>(count: count)
    for grain in [1, 4, 96, 97, 1_000] {
      for _ in 0..<200 {
        pool.run(count: count, grain: grain) { thread, range in
          #expect((0..<threads).contains(thread))
          #expect(range.lowerBound % grain == 0 && !range.isEmpty)
          for index in range { visits.base[index] += 1 }
        }
      }
    }
    #expect((0..<count).allSatisfy { visits.base[$0] == 1_000 })
  }

  @Test(
    "Each thread begins with its share, and shares are even and in order",
    arguments: [(2, 512, 3), (3, 100, 10), (2, 20, 10), (4, 9, 1), (5, 3, 1), (2, 7, 30)])
  func shares(threads: Int, count: Int, grain: Int) throws {
    let pool = try ThreadPool(threads: threads)
    let shares = (0..<threads).map {
      ThreadPool.share(of: $0, threads: threads, count: count, grain: grain)
    }
    #expect(shares.flatMap { Array($0) } == Array(0..<count))
    #expect(shares.allSatisfy { $0.lowerBound % grain == 0 || $0.isEmpty })
    guard count > grain else {
      #expect(shares[0] == 0..<count)
      return
    }
    let sizes = shares.map { ($0.count + grain - 1) / grain }
    #expect((sizes.max() ?? 0) - (sizes.min() ?? 0) <= 1)
    guard shares.allSatisfy({ !$0.isEmpty }) else { return }
    for _ in 0..<20 {
      // Who comes to the beginning of its share waits there for the others.
      let begun = Atomic(0)
      let late = Atomic(0)
      pool.run(count: count, grain: grain) { thread, range in
        guard range.lowerBound == shares[thread].lowerBound else { return }
        begun.add(1, ordering: .sequentiallyConsistent)
        if !waits(until: { begun.load(ordering: .sequentiallyConsistent) == threads }) {
          late.add(1, ordering: .relaxed)
        }
      }
      try #require(late.load(ordering: .relaxed) == 0, "not every thread began with its share")
    }
  }

  @Test("What a thread that is held up has not begun, others do", arguments: [0, 1])
  func helps(heldUp: Int) throws {
    let pool = try ThreadPool(threads: 2)
    for _ in 0..<20 {
      let done = Atomic(0)
      let late = Atomic(0)
      pool.run(count: 64) { thread, range in
        // It goes on when all is done that it has not taken itself.
        if thread == heldUp,
          !waits(until: { done.load(ordering: .sequentiallyConsistent) >= 64 - range.count })
        {
          late.add(1, ordering: .relaxed)
        }
        done.add(range.count, ordering: .sequentiallyConsistent)
      }
      #expect(done.load(ordering: .sequentiallyConsistent) == 64)
      try #require(late.load(ordering: .relaxed) == 0, "nobody did the rest of a share")
    }
  }

  @Test(
    "As many items as one likes, beyond what a share can count",
    arguments: [65_535, 65_536, 200_001])
  func many(count: Int) throws {
    for threads in [2, 3] {
      let pool = try ThreadPool(threads: threads)
      let visits = try AlignedBuffer<UInt8>(count: count)
      pool.run(count: count) { _, range in
        for index in range { visits.base[index] += 1 }
      }
      #expect((0..<count).allSatisfy { visits.base[$0] == 1 })
      let ends = (0..<threads).map { ThreadPool.share(of: $0, threads: threads, count: count) }
      #expect(ends.first?.lowerBound == 0 && ends.last?.upperBound == count)
      #expect(zip(ends, ends.dropFirst()).allSatisfy { $0.upperBound == $1.lowerBound })
    }
  }

  @Test("A thread that gives way stands back with all threads of its pools, for good")
  func givesWay() {
    let found = Mutex<[[Int32]]>([])
    let done = DispatchSemaphore(value: 0)
    let thread = Thread {
      for niceness in [7, 3, 12] {
        ThreadPool.giveWay(niceness: niceness)
        let values = Mutex<[Int32]>([ownNiceness()])
        // Three pieces that wait for each other: one a thread.
        let started = Atomic(0)
        (try? ThreadPool(threads: 3))?.run(count: 3) { _, _ in
          started.add(1, ordering: .sequentiallyConsistent)
          _ = waits { started.load(ordering: .sequentiallyConsistent) == 3 }
          values.withLock { $0.append(ownNiceness()) }
        }
        found.withLock { $0.append(values.withLock { $0 }) }
      }
      done.signal()
    }
    thread.start()
    done.wait()
    let before = ownNiceness()
    let expected = [7, 7, 12].map { [Int32](repeating: max($0, before), count: 4) }
    #expect(found.withLock { $0 } == expected)
  }

  @Test("Nothing is called for nothing")
  func empty() throws {
    let pool = try ThreadPool(threads: 2)
    pool.run(count: 0) { _, _ in Issue.record("called") }
  }

  @Test(
    "Runs of many and of few pieces follow each other and none is done twice", arguments: [4, 8])
  func alternating(threads: Int) throws {
    let pool = try ThreadPool(threads: threads)
    let visits = try AlignedBuffer<Int32>(count: 100)
    var expected = [Int32](repeating: 0, count: 100)
    for round in 0..<100_000 {
      // Up and down in one step, and by every step between.
      for count in [2, 97, round % 100 + 1, 100 - round % 100] {
        pool.run(count: count) { _, range in
          for index in range { visits.base[index] += 1 }
        }
        for index in 0..<count { expected[index] += 1 }
      }
      let isExact = expected.indices.allSatisfy { visits.base[$0] == expected[$0] }
      try #require(isExact, "round \(round)")
    }
  }

  @Test("Threads that slept wake up for work")
  func wakesUp() throws {
    let pool = try ThreadPool(threads: 3)
    for _ in 0..<50 {
      let deadline = ContinuousClock.now + .seconds(30)
      while pool.sleepingThreads < 2, ContinuousClock.now < deadline { sched_yield() }
      #expect(pool.sleepingThreads == 2)
      // Each piece waits for the others, so that all three threads must come.
      let begun = Atomic<Int>(0)
      let late = Atomic<Int>(0)
      pool.run(count: 3) { _, _ in
        begun.add(1, ordering: .relaxed)
        while begun.load(ordering: .relaxed) < 3, ContinuousClock.now < deadline { sched_yield() }
        if begun.load(ordering: .relaxed) < 3 { late.add(1, ordering: .relaxed) }
      }
      #expect(late.load(ordering: .relaxed) == 0)
    }
  }

  @Test("A number of threads out of range is refused", arguments: [0, -1, 257])
  func refusesNumber(threads: Int) {
    #expect(throws: TensorError.self) { try ThreadPool(threads: threads) }
  }
}

/// The niceness of the calling thread.
private func ownNiceness() -> Int32 {
  getpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0)
}

/// Whether a condition comes true before a time at which something must be wrong.
private func waits(until condition: () -> Bool) -> Bool {
  let deadline = ContinuousClock.now + .seconds(30)
  while !condition() {
    guard ContinuousClock.now < deadline else { return false }
    sched_yield()
  }
  return true
}
