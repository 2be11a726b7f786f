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

  /// SHA-256 of the text, in hexadecimal: tells whether history was altered.
  public var checksum: String {
    SHA256.hash(data: Data(sql.utf8)).map { byte in
      let digits = String(byte, radix: 16)
      return digits.count == 1 ? "0" + digits : digits
    }.joined()
  }
}
