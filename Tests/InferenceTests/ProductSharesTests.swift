import Inference
import Synchronization
import Tensors
import Testing

private struct Visit: ProductLoop {
  let visit: (Int, ProductShares.Piece, MatrixView.Place?) -> Void

  func run(thread: Int, piece: ProductShares.Piece, ahead: MatrixView.Place?) {
    visit(thread, piece, ahead)
  }
}

@Suite("Shares of products")
struct ProductSharesTests {
  static let threads = [1, 2, 3, 4, 6, 16]

  private func stack(groups: Int, pool: ThreadPool) throws -> MatrixStack {
    func matrix(_ groups: Int) throws -> PackedMatrix {
      // A last group that is not full.
      let shape = MatrixShape(rows: groups * 16 - 5, columns: 1)
      return try [UInt8](repeating: 0, count: shape.rows * 4).withUnsafeBytes {
        try PackedMatrix(type: .f32, shape: shape, bytes: $0, pool: pool)
      }
    }
    let first = max(1, groups / 3)
    return groups == first
      ? try MatrixStack(matrix(groups)) : try MatrixStack(matrix(first), matrix(groups - first))
  }

  @Test(
    "All products are computed once, for any number of threads, rows and tokens", arguments: threads
  )
  func everyProductOnce(threads: Int) throws {
    let pool = try ThreadPool(threads: threads)
    for groups in [1, 2, 3, 7, 36, 61] {
      let stack = try stack(groups: groups, pool: pool)
      for tokens in [1, 3, 127, 128, 255, 256, 259, 385, 512, 771, 2_050] {
        let shares = ProductShares(stack.view, tokens: tokens, threads: threads)
        let visits = try AlignedBuffer<UInt8>(count: groups * tokens)
        shares.run(
          on: pool, next: nil,
          Visit { _, piece, _ in
            for group in piece.groups {
              for token in piece.tokens { visits.base[group * tokens + token] += 1 }
            }
          })
        let isExact = (0..<groups * tokens).allSatisfy { visits.base[$0] == 1 }
        #expect(isExact, "\(groups) groups, \(tokens) tokens")
      }
    }
  }

  @Test("Many tokens are cut as per-token work is, few are not", arguments: threads)
  func tokenParts(threads: Int) throws {
    let pool = try ThreadPool(threads: threads)
    let stack = try stack(groups: 36, pool: pool)
    for tokens in [16, 127, 130, 1_001, 4_096] {
      let found = Mutex<Set<Range<Int>>>([])
      ProductShares(stack.view, tokens: tokens, threads: threads).run(
        on: pool, next: nil,
        Visit { _, piece, _ in found.withLock { _ = $0.insert(piece.tokens) } })
      let parts = ProductShares.parts(tokens: tokens, threads: threads)
      #expect(threads % parts == 0 && (parts == 1 || tokens / parts >= 128))
      let expected = (0..<parts).map { part in
        let ends = [part, part + 1].map { end in
          end == parts
            ? tokens
            : ThreadPool.share(
              of: end * threads / parts, threads: threads, count: tokens,
              grain: ProductShares.tokenGrain
            ).lowerBound
        }
        return ends[0]..<ends[1]
      }
      #expect(found.withLock { $0 } == Set(expected))
    }
  }

  @Test("What is fetched ahead is what the thread goes on with, or begins the next loop with")
  func ahead() throws {
    typealias Found = (thread: Int, piece: ProductShares.Piece, ahead: MatrixView.Place?)
    let pool = try ThreadPool(threads: 2)
    let stack = try stack(groups: 40, pool: pool)
    let next = try self.stack(groups: 5, pool: pool)
    for tokens in [1, 300] {
      let following = ProductShares(next.view, tokens: tokens, threads: 2)
      let all = Mutex<[Found]>([])
      ProductShares(stack.view, tokens: tokens, threads: 2).run(
        on: pool, next: following,
        Visit { thread, piece, ahead in all.withLock { $0.append((thread, piece, ahead)) } })
      for found in all.withLock({ $0 }) {
        // Of 14 panels the first thread has 7, which are 21 groups; of many tokens each has its half.
        let end = tokens == 300 ? 40 : found.thread == 0 ? 21 : 40
        let isOwn =
          tokens == 300
          ? (found.piece.tokens.lowerBound > 0) == (found.thread == 1)
          : (found.piece.groups.lowerBound >= 21) == (found.thread == 1)
        let goesOn = isOwn && found.piece.groups.upperBound < end
        let expected =
          goesOn
          ? stack.view.place(of: found.piece.groups.upperBound)
          : following.firstPlace(of: found.thread)
        #expect(expected != nil)
        #expect(found.ahead?.group == expected?.group)
        #expect(found.ahead?.matrix.rows == expected?.matrix.rows)
      }
    }
    // A thread that has nothing to do in the next loop fetches nothing for it.
    let few = ProductShares(next.view, tokens: 1, threads: 5)
    #expect((0..<5).map { few.firstPlace(of: $0)?.group } == [nil, nil, 0, nil, 2])
  }
}
