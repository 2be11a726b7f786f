import CKernels

/// Threads for data-parallel loops, the calling one included.
///
/// Each thread begins with its own share, then helps others, so which thread computes what may differ
/// from run to run; no kernel's result depends on it. One caller at a time.
package final class ThreadPool {
  /// How many threads take part.
  package let threads: Int
  private let pool: OpaquePointer

  /// The work of a run, where a pointer can lead to it. A closure alone would be wrapped into others,
  /// in memory of their own, for each run.
  private struct Work {
    let body: (Int, Range<Int>) -> Void
  }

  /// Starts `threads - 1` threads; throws `noThreads`, or `invalidShape` out of 1 to 256.
  package init(threads: Int) throws(TensorError) {
    guard (1...256).contains(threads) else {
      throw TensorError(
        code: .invalidShape, message: "\(threads) threads asked for; give 1 to 256.")
    }
    guard let pool = mk_thread_pool_create(threads) else {
      throw TensorError(
        code: .noThreads, message: "The system started fewer than \(threads) threads; give fewer.")
    }
    self.pool = pool
    self.threads = threads
  }

  deinit { mk_thread_pool_destroy(pool) }

  /// Time slices for threads that give way: long enough that most others ask for less at a time,
  /// short enough that two of these can share a processor.
  private static let slice: UInt64 = 10_000_000

  /// Puts the calling thread, and those that it starts from now on, behind the machine's others: a
  /// niceness of 0 to 19. Where the system refuses, everything stays as it is.
  package static func giveWay(niceness: Int) {
    mk_thread_name()
    _ = mk_thread_give_way(Int32(min(max(niceness, 0), 19)), slice)
  }

  /// Threads that sleep and must be woken for the next run.
  package var sleepingThreads: Int { mk_thread_pool_sleepers(pool) }

  /// The share with which one of some threads begins such a run.
  package static func share(
    of thread: Int, threads: Int, count: Int, grain: Int = 1
  ) -> Range<Int> {
    let begin = mk_thread_share(threads, count, grain, thread)
    return begin..<mk_thread_share(threads, count, grain, thread + 1)
  }

  /// Calls `body` for all of `0 ..< count`, on ranges that begin at multiples of `grain`, and returns
  /// when all are done.
  ///
  /// Threads' shares are of equal size and in order, the same for the same count and grain: what a thread
  /// wrote in one run it mostly finds in its own caches in the next.
  ///
  /// `body` gets the index of its thread, for scratch space, and a range. It runs on several
  /// threads at once and must write disjoint memory for disjoint ranges.
  package func run(
    count: Int, grain: Int = 1, _ body: (_ thread: Int, _ range: Range<Int>) -> Void
  ) {
    withoutActuallyEscaping(body) { escaping in
      withUnsafePointer(to: Work(body: escaping)) { pointer in
        mk_thread_pool_run(
          pool, count, grain,
          { context, thread, begin, end in
            context?.assumingMemoryBound(to: Work.self).pointee.body(thread, begin..<end)
          },
          UnsafeMutableRawPointer(mutating: pointer))
      }
    }
  }
}
