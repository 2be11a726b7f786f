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
          for index in range { visits.base[index] += 1 }
        }
      }
    }
    #expect((0..<count).allSatisfy { visits.base[$0] == 1_000 })
  }

  @Test("Nothing is called for nothing")
  func empty() throws {
    let pool = try ThreadPool(threads: 2)
    pool.run(count: 0) { _, _ in Issue.record("called") }
  }

  @Test("Threads that slept wake up for work")
  func wakesUp() throws {
    let pool = try ThreadPool(threads: 3)
    let total = Atomic<Int>(0)
    for _ in 0..<50 {
      // More turns than a worker spins and yields before it sleeps.
      for _ in 0..<20_000 { total.add(0, ordering: .relaxed) }
      pool.run(count: 30) { _, range in total.add(range.count, ordering: .relaxed) }
    }
    #expect(total.load(ordering: .relaxed) == 1_500)
  }

  @Test("A number of threads out of range is refused", arguments: [0, -1, 257])
  func refusesNumber(threads: Int) {
    #expect(throws: TensorError.self) { try ThreadPool(threads: threads) }
  }
}
