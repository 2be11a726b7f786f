/// The shape of a weight matrix: `rows` outputs by `columns` inputs, a row being contiguous.
public struct MatrixShape: Sendable, Hashable, CustomStringConvertible {
  /// Outputs.
  public let rows: Int
  /// Inputs.
  public let columns: Int

  /// Makes a shape.
  public init(rows: Int, columns: Int) {
    self.rows = rows
    self.columns = columns
  }

  /// Rows by columns.
  public var description: String { "\(rows)x\(columns)" }
}
