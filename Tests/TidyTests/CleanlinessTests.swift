import Testing

@Suite("Nothing unfinished is left in the sources")
struct CleanlinessTests {
  /// Joined here so that this file does not hold the words itself.
  static let unfinished = ["TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK"]
  static let crashing = ["fatal" + "Error(", "try" + "!", "as" + "! "]

  @Test("no file carries a note of unfinished work")
  func notes() throws {
    for file in try Repository.files(["swift", "c", "h", "py", "sql", "proto", "cc"])
    where !file.isGenerated {
      for (index, line) in file.lines.enumerated() {
        let words = line.split { !$0.isLetter && !$0.isNumber && $0 != "_" }.map(String.init)
        let found = Self.unfinished.filter(words.contains)
        #expect(found.isEmpty, "\(file.path):\(index + 1)")
      }
    }
  }

  @Test("no source ends the process where an error could be given")
  func crashes() throws {
    for file in try Repository.files(["swift"])
    where file.path.hasPrefix("Sources/") && !file.isGenerated {
      for (index, line) in file.lines.enumerated() {
        for word in Self.crashing {
          #expect(!line.contains(word), "\(file.path):\(index + 1)")
        }
      }
    }
  }

  @Test("no test blocks to let time pass, or is switched off")
  func sleeps() throws {
    let forbidden = ["Thread." + "sleep", "usleep" + "(", ".disabled" + "("]
    for file in try Repository.files(["swift"]) where file.path.hasPrefix("Tests/") {
      for (index, line) in file.lines.enumerated() {
        for word in forbidden {
          #expect(!line.contains(word), "\(file.path):\(index + 1)")
        }
      }
    }
  }
}
