/// Columns aligned for people.
struct Table {
  private var rows: [[String]]

  /// - Parameter header: the columns' titles; none for a table without a title row.
  init(_ header: String...) {
    rows = header.isEmpty ? [] : [header]
  }

  mutating func add(_ cells: String...) {
    rows.append(cells)
  }

  var text: String {
    let columns = rows.map(\.count).max() ?? 0
    let widths = (0..<columns).map { column in
      rows.map { column < $0.count ? $0[column].count : 0 }.max() ?? 0
    }
    let lines = rows.map { row in
      row.enumerated().map { column, cell in
        column == row.count - 1
          ? cell : cell + String(repeating: " ", count: widths[column] - cell.count)
      }.joined(separator: "  ")
    }
    return lines.joined(separator: "\n")
  }
}
