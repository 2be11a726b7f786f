import Tensors

/// How products of a stack's row groups with some tokens are shared out among threads.
///
/// By rows, in whole panels of the kernels; but many tokens in parts first, those of each thread by
/// itself. A thread then works on rows that it wrote before, or on tokens whose every row it wrote, and
/// little has to come from other processors' caches.
struct ProductShares {
  /// Row groups of a panel.
  private static let panel = 3
  /// Tokens from which on a part does not gain from more of them.
  private static let partTokens = 128
  /// Tokens that per-token work is shared out by.
  static let tokenGrain = 4

  let pool: ThreadPool
  let groups: Int
  let tokens: Int
  private let parts: Int
  private let panels: Int

  init(pool: ThreadPool, groups: Int, tokens: Int) {
    self.pool = pool
    self.groups = groups
    self.tokens = tokens
    parts =
      (1...pool.threads).last {
        pool.threads % $0 == 0 && tokens >= $0 * Self.partTokens
      } ?? 1
    panels = (groups + Self.panel - 1) / Self.panel
  }

  /// The group at which a thread's share begins.
  func firstGroup(of thread: Int) -> Int {
    let first = pool.share(of: thread, count: parts * panels).lowerBound
    return first % panels * Self.panel
  }

  /// Calls `body` for all products. `isLast` tells that a thread will go on elsewhere.
  func run(
    _ body: (_ thread: Int, _ groups: Range<Int>, _ tokens: Range<Int>, _ isLast: Bool) -> Void
  ) {
    pool.run(count: parts * panels) { thread, range in
      let share = pool.share(of: thread, count: parts * panels)
      var next = range.lowerBound
      while next < range.upperBound {
        let part = next / panels
        let end = min(range.upperBound, (part + 1) * panels)
        let first = next % panels * Self.panel
        body(
          thread, first..<min(first + (end - next) * Self.panel, groups), tokens(of: part),
          end == share.upperBound || !share.contains(next))
        next = end
      }
    }
  }

  /// The tokens of a part: those that per-token work gives to its threads.
  private func tokens(of part: Int) -> Range<Int> {
    guard parts > 1 else { return 0..<tokens }
    let threads = pool.threads / parts
    let last = part * threads + threads - 1
    return pool.share(of: part * threads, count: tokens, grain: Self.tokenGrain)
      .lowerBound..<pool.share(of: last, count: tokens, grain: Self.tokenGrain).upperBound
  }
}
