import Crypto
import Foundation

/// One step of the schema's history. Steps only go forward.
public struct Migration: Hashable, Sendable {
  /// Its place in the history, from 1 without gaps.
  public var number: Int32
  public var name: String
  package var sql: String

  package init(number: Int32, name: String, sql: String) {
    self.number = number
    self.name = name
    self.sql = sql
  }

  /// The line that says that the statements run one by one, each by itself, as those must that
  /// build indexes concurrently. Such a migration may be interrupted after any of its statements,
  /// and is then run again from its start: every statement must bear that.
  static let noTransactionMark = "-- migrate: no transaction"

  var isTransaction: Bool {
    !sql.split(separator: "\n").contains { $0 == Self.noTransactionMark }
  }

  /// The statements of a migration that is no transaction. Each ends with a line that ends with a
  /// semicolon.
  var statements: [String] {
    var statements: [String] = []
    var lines: [Substring] = []
    for line in sql.split(separator: "\n") where !line.hasPrefix("--") {
      lines.append(line)
      guard line.hasSuffix(";") else { continue }
      statements.append(lines.joined(separator: "\n"))
      lines = []
    }
    return lines.isEmpty ? statements : statements + [lines.joined(separator: "\n")]
  }

  /// The index that a statement builds concurrently unless it is there. When that is interrupted it
  /// leaves an index that is not valid, which counts as there: such a one must go first.
  static func indexBuilt(by statement: String) -> String? {
    let words = statement.split(whereSeparator: \.isWhitespace).map { $0.uppercased() }
    for form in ["CREATE INDEX", "CREATE UNIQUE INDEX"] {
      let beginning = (form + " CONCURRENTLY IF NOT EXISTS").split(separator: " ").map(String.init)
      guard words.starts(with: beginning), words.count > beginning.count else { continue }
      return words[beginning.count].lowercased()
    }
    return nil
  }

  /// SHA-256 of the text, in hexadecimal: tells whether history was altered.
  public var checksum: String {
    SHA256.hash(data: Data(sql.utf8)).map { byte in
      let digits = String(byte, radix: 16)
      return digits.count == 1 ? "0" + digits : digits
    }.joined()
  }
}
