/// Matrices that take the same activations, with the row groups of all of them counted through.
package struct MatrixStack: Sendable {
  package let matrices: [PackedMatrix]
  /// As work on several threads takes it; valid for as long as the stack is there.
  package let view: View
  private let memory: ViewMemory

  package init(_ matrices: PackedMatrix...) {
    self.matrices = matrices
    memory = ViewMemory(matrices.map(\.view))
    view = View(
      matrices: UnsafePointer(memory.base), count: matrices.count,
      groups: matrices.reduce(0) { $0 + $1.groups })
  }

  /// Whether any of them takes quantized activations.
  package var quantizesActivations: Bool { matrices.contains { $0.type.quantizesActivations } }

  /// The matrices without their owners: threads that count references to the same objects hold each
  /// other up.
  package struct View: @unchecked Sendable {
    fileprivate let matrices: UnsafePointer<MatrixView>
    fileprivate let count: Int
    /// Row groups of all matrices.
    package let groups: Int

    /// Where a row group of the stack is; nil behind the last.
    package func place(of group: Int) -> MatrixView.Place? {
      var first = 0
      for index in 0..<count {
        let matrix = matrices[index]
        if group < first + matrix.groups {
          return MatrixView.Place(matrix: matrix, group: group - first)
        }
        first += matrix.groups
      }
      return nil
    }

    /// Calls `body` for each matrix that has some of the groups, with their numbers there and the rows of
    /// the matrices before it.
    package func forEach(
      in groups: Range<Int>,
      _ body: (_ matrix: MatrixView, _ groups: Range<Int>, _ rowsBefore: Int) -> Void
    ) {
      var first = 0
      var rows = 0
      for index in 0..<count {
        let matrix = matrices[index]
        let mine = groups.clamped(to: first..<first + matrix.groups)
        if !mine.isEmpty {
          body(matrix, mine.lowerBound - first..<mine.upperBound - first, rows)
        }
        first += matrix.groups
        rows += matrix.rows
      }
    }
  }
}

/// Holds views where a pointer can lead to them.
private final class ViewMemory: @unchecked Sendable {
  let base: UnsafeMutablePointer<MatrixView>

  init(_ views: [MatrixView]) {
    base = .allocate(capacity: views.count)
    base.initialize(from: views, count: views.count)
  }

  deinit { base.deallocate() }
}
