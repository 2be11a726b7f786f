package import Tensors

/// A loop over products: what a thread computes for a piece of them.
package protocol ProductLoop {
  /// Computes a piece; `ahead` is the row group with which the thread will go on, of the same stack or of
  /// the next one, if that is known.
  func run(thread: Int, piece: ProductShares.Piece, ahead: MatrixView.Place?)
}

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
    return share.isEmpty ? nil : place(of: share.lowerBound)
  }

  /// Runs a loop for all products; `next` is what is multiplied afterwards, if that is known.
  package func run(on pool: ThreadPool, next: ProductShares?, _ loop: some ProductLoop) {
    pool.run(count: parts * panels, Pieces(shares: self, next: next, loop: loop))
  }

  /// A loop over products, cut into pieces.
  private struct Pieces<Loop: ProductLoop>: ParallelLoop {
    let shares: ProductShares
    let next: ProductShares?
    let loop: Loop

    func run(thread: Int, range: Range<Int>) {
      let share = shares.share(of: thread)
      var item = range.lowerBound
      while item < range.upperBound {
        let part = item / shares.panels
        let end = min(range.upperBound, (part + 1) * shares.panels)
        let goesOn = share.contains(item) && end < share.upperBound
        loop.run(
          thread: thread, piece: shares.piece(part, item..<end),
          ahead: goesOn ? shares.place(of: end) : next.flatMap { $0.firstPlace(of: thread) })
        item = end
      }
    }
  }

  /// Items of one part.
  private func piece(_ part: Int, _ items: Range<Int>) -> Piece {
    let first = items.lowerBound % panels * Self.panel
    return Piece(
      groups: first..<min(first + items.count * Self.panel, stack.groups), tokens: tokens(of: part))
  }

  private func place(of item: Int) -> MatrixView.Place? {
    stack.place(of: item % panels * Self.panel)
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
