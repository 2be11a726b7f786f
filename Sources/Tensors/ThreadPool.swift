import CKernels

/// A data-parallel loop: what is computed for a part of its indices.
///
/// Not copyable as such, so that each part is computed on the one loop, and not on a copy of it.
package protocol ParallelLoop: ~Copyable {
  /// Computes a part. `thread` is the index of the thread, for scratch space. Called on several threads
  /// at once; it must write disjoint memory for disjoint ranges.
  func run(thread: Int, range: Range<Int>)
}

/// Threads for data-parallel loops, the calling one included.
///
/// Each thread begins with its own share, then helps others, so which thread computes what may differ
/// from run to run; no kernel's result depends on it. One caller at a time.
package final class ThreadPool {
  /// How many threads take part.
  package let threads: Int
  private let pool: OpaquePointer

  /// A loop, where a pointer can lead to it. Its type and its address need no memory of their own,
  /// which a closure would for each run.
  private struct Work {
    let type: any (ParallelLoop & ~Copyable).Type
    let loop: UnsafeRawPointer

    init<Loop: ParallelLoop & ~Copyable>(_ loop: UnsafePointer<Loop>) {
      type = Loop.self
      self.loop = UnsafeRawPointer(loop)
    }
  }

  private struct ClosureLoop: ParallelLoop {
    let body: (Int, Range<Int>) -> Void

    func run(thread: Int, range: Range<Int>) { body(thread, range) }
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

  /// Runs a loop for all of `0 ..< count`, on ranges that begin at multiples of `grain`, and returns
  /// when all are done. Allocates nothing.
  ///
  /// Threads' shares are of equal size and in order, the same for the same count and grain: what a thread
  /// wrote in one run it mostly finds in its own caches in the next.
  package func run(count: Int, grain: Int = 1, _ loop: borrowing some ParallelLoop & ~Copyable) {
    withUnsafePointer(to: loop) { loop in
      var work = Work(loop)
      mk_thread_pool_run(
        pool, count, grain,
        { context, thread, begin, end in
          guard let work = context?.assumingMemoryBound(to: Work.self) else { return }
          work.pointee.type.run(at: work.pointee.loop, thread: thread, range: begin..<end)
        },
        &work)
    }
  }

  /// The same for a closure, which takes an allocation.
  package func run(
    count: Int, grain: Int = 1, _ body: (_ thread: Int, _ range: Range<Int>) -> Void
  ) {
    withoutActuallyEscaping(body) { run(count: count, grain: grain, ClosureLoop(body: $0)) }
  }
}

extension ParallelLoop where Self: ~Copyable {
  fileprivate static func run(at address: UnsafeRawPointer, thread: Int, range: Range<Int>) {
    address.assumingMemoryBound(to: Self.self).pointee.run(thread: thread, range: range)
  }
}
