import Testing

@Suite("Files and functions fit on a screen")
struct LengthTests {
  static let maxFileLines = 600
  static let maxFunctionLines = 70

  @Test("no file is longer than the limit")
  func files() throws {
    let files = try Repository.files(["swift", "c", "h", "py", "sql", "proto", "cc", ""])
    #expect(files.count > 100)
    for file in files where !file.isGenerated {
      #expect(file.lines.count <= Self.maxFileLines, "\(file.path)")
    }
  }

  @Test("no function is longer than the limit")
  func functions() throws {
    for file in try Repository.files(["swift", "c", "h", "py", "cc"]) where !file.isGenerated {
      for function in Functions.of(file) {
        #expect(function.length <= Self.maxFunctionLines, "\(file.path):\(function.line)")
      }
    }
  }

  @Test("the search for functions finds them, and their ends")
  func search() {
    let swift = Repository.File(
      path: "Sources/X/A.swift",
      lines: ["struct A {", "  func a() {", "    if b {", "    }", "  }", "  init() {}", "}"])
    #expect(Functions.of(swift) == [Functions.Function(line: 2, length: 4)])
    let c = Repository.File(
      path: "Sources/X/a.c", lines: ["int a(void)", "{", "}", "void b() {", "}"])
    #expect(
      Functions.of(c) == [
        Functions.Function(line: 2, length: 2), Functions.Function(line: 4, length: 2),
      ])
    let python = Repository.File(
      path: "Tests/a.py", lines: ["def a():", "    pass", "", "    pass", "b = 1"])
    #expect(Functions.of(python) == [Functions.Function(line: 1, length: 4)])
  }
}
