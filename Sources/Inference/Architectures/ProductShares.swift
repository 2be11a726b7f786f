package import Tensors

/// How products of a stack's row groups with some tokens are shared out among threads.
///
/// By rows, in whole panels of the kernels; but many tokens in parts first, each for a thread or a few
/// of them. So a thread mostly works on rows that it wrote before, or on tokens of which it wrote much
/// or all, and little has to come from other processors' caches.
package struct ProductShares {
  /// Row groups of a panel.
  private static let panel = 3
  /// Tokens from which on a part does not gain from more of them.
  private static let partTokens = 128
  /// Tokens that per-token work is shared out by.
  package static let tokenGrain = 4

  private let threads: Int
  private let stack: MatrixStack.View
  private let tokens: Int
  private let parts: Int
  private let panels: Int

  /// Products that a thread computes without asking for more.
  package struct Piece {
    package var groups: Range<Int>
    package var tokens: Range<Int>
  }

  package init(_ stack: MatrixStack.View, tokens: Int, threads: Int) {
    self.threads = threads
    self.stack = stack
    self.tokens = tokens
    parts = Self.parts(tokens: tokens, threads: threads)
    panels = (stack.groups + Self.panel - 1) / Self.panel
  }

  /// Into how many parts tokens are cut.
  package static func parts(tokens: Int, threads: Int) -> Int {
    (1...threads).last { threads % $0 == 0 && tokens >= $0 * partTokens } ?? 1
  }

  /// The row group with which a thread begins; nil where its share is empty.
  package func firstPlace(of thread: Int) -> MatrixView.Place? {
    let share = share(of: thread)
    return share.isEmpty ? nil : stack.place(of: share.lowerBound % panels * Self.panel)
  }

  /// Calls `body` for all products, with the row group from which the thread will go on, of this stack
  /// or of the next one, if that is known.
  package func run(
    on pool: ThreadPool, next: ProductShares?,
    _ body: (_ thread: Int, _ piece: Piece, _ ahead: MatrixView.Place?) -> Void
  ) {
    pool.run(count: parts * panels) { thread, range in
      let share = share(of: thread)
      var item = range.lowerBound
      while item < range.upperBound {
        let part = item / panels
        let end = min(range.upperBound, (part + 1) * panels)
        let first = item % panels * Self.panel
        let groups = first..<min(first + (end - item) * Self.panel, stack.groups)
        let goesOn = share.contains(item) && end < share.upperBound
        let ahead =
          goesOn
          ? stack.place(of: end % panels * Self.panel) : next.flatMap { $0.firstPlace(of: thread) }
        body(thread, Piece(groups: groups, tokens: tokens(of: part)), ahead)
        item = end
      }
    }
  }

  private func share(of thread: Int) -> Range<Int> {
    ThreadPool.share(of: thread, threads: threads, count: parts * panels)
  }

  /// The tokens of a part: those that per-token work gives to its threads.
  private func tokens(of part: Int) -> Range<Int> {
    guard parts > 1 else { return 0..<tokens }
    func share(of thread: Int) -> Range<Int> {
      ThreadPool.share(of: thread, threads: threads, count: tokens, grain: Self.tokenGrain)
    }
    let first = part * (threads / parts)
    let last = first + threads / parts - 1
    return share(of: first).lowerBound..<share(of: last).upperBound
  }
}
