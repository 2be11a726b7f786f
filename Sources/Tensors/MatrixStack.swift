/// Matrices that take the same activations, with the row groups of all of them counted through.
package struct MatrixStack: Sendable {
  package let matrices: [PackedMatrix]
  /// Row groups of all matrices.
  package let groups: Int

  /// A row group of one of some matrices.
  package struct Place {
    package let matrix: PackedMatrix
    package let group: Int

    package init(matrix: PackedMatrix, group: Int) {
      self.matrix = matrix
      self.group = group
    }
  }

  package init(_ matrices: PackedMatrix...) {
    self.matrices = matrices
    groups = matrices.reduce(0) { $0 + $1.groups }
  }

  /// Whether any of them takes quantized activations.
  package var quantizesActivations: Bool { matrices.contains { $0.type.quantizesActivations } }

  /// Where a row group of the stack is; nil behind the last.
  package func place(of group: Int) -> Place? {
    var first = 0
    for matrix in matrices {
      if group < first + matrix.groups { return Place(matrix: matrix, group: group - first) }
      first += matrix.groups
    }
    return nil
  }

  /// Calls `body` for each matrix that has some of the groups, with their numbers there.
  package func forEach(
    in groups: Range<Int>,
    _ body: (_ index: Int, _ matrix: PackedMatrix, _ groups: Range<Int>) -> Void
  ) {
    var first = 0
    for (index, matrix) in matrices.enumerated() {
      let mine = groups.clamped(to: first..<first + matrix.groups)
      if !mine.isEmpty {
        body(index, matrix, mine.lowerBound - first..<mine.upperBound - first)
      }
      first += matrix.groups
    }
  }
}
