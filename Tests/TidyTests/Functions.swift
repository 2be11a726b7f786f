/// Finds functions by their indentation, which the formatter has made regular.
enum Functions {
  struct Function: Equatable {
    /// Of its first line, counted from 1.
    var line: Int
    /// From the first line to the last one.
    var length: Int
  }

  static func of(_ file: Repository.File) -> [Function] {
    if file.path.hasSuffix(".py") { return python(file.lines) }
    if file.path.hasSuffix(".swift") { return braced(file.lines, opens: opensSwiftFunction) }
    return braced(file.lines) { !$0.hasPrefix(" ") && $0.hasSuffix("{") && !opensCType($0) }
  }

  /// A function begins at a line that opens it and ends at the brace below the line's start.
  private static func braced(_ lines: [String], opens: (String) -> Bool) -> [Function] {
    var functions: [Function] = []
    for (index, line) in lines.enumerated() where opens(line) {
      let indentation = String(line.prefix { $0 == " " })
      guard let start = bodyStart(lines, from: index, indentation), !lines[start].hasSuffix("}")
      else { continue }
      let end = lines[(start + 1)...].firstIndex { $0.hasPrefix(indentation + "}") }
      functions.append(Function(line: index + 1, length: (end ?? index) - index + 1))
    }
    return functions
  }

  /// The line that ends the signature with a brace; `nil` for a requirement without a body.
  private static func bodyStart(
    _ lines: [String], from index: Int, _ indentation: String
  ) -> Int? {
    for (offset, line) in lines[index...].enumerated() {
      let isContinued =
        offset == 0 || line.hasPrefix(indentation + " ") || line.hasPrefix(indentation + ")")
      guard isContinued else { return nil }
      if line.hasSuffix("{") || line.hasSuffix("}") { return index + offset }
      if line.hasPrefix(indentation + ")") { return nil }
    }
    return nil
  }

  private static func opensSwiftFunction(_ line: String) -> Bool {
    let words = line.split { !$0.isLetter && $0 != "_" }.map(String.init)
    let keywords: Set<String> = ["func", "init", "deinit", "subscript"]
    let modifiers: Set<String> = [
      "public", "package", "internal", "fileprivate", "private", "static", "class", "final",
      "override", "mutating", "nonisolated", "consuming", "borrowing", "convenience", "required",
      "discardableResult", "unsafe", "inlinable", "Sendable", "indirect",
    ]
    guard let first = words.first(where: { !modifiers.contains($0) }) else { return false }
    return keywords.contains(first)
  }

  private static func opensCType(_ line: String) -> Bool {
    ["struct ", "enum ", "union ", "typedef ", "extern ", "namespace ", "class "]
      .contains { line.hasPrefix($0) && !line.contains("(") }
  }

  private static func python(_ lines: [String]) -> [Function] {
    var functions: [Function] = []
    for (index, line) in lines.enumerated() {
      let text = line.drop { $0 == " " }
      guard text.hasPrefix("def ") || text.hasPrefix("async def ") else { continue }
      let depth = line.count - text.count
      let next = lines[(index + 1)...].firstIndex { other in
        let content = other.drop { $0 == " " }
        return !content.isEmpty && !content.hasPrefix(")") && other.count - content.count <= depth
      }
      let body = lines[index..<(next ?? lines.count)]
      let last = body.lastIndex { !$0.allSatisfy { $0 == " " } } ?? index
      functions.append(Function(line: index + 1, length: last - index + 1))
    }
    return functions
  }
}
