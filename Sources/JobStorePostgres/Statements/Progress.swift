import Foundation
import JobQueue
import Postgres

extension Statement {
  /// How far jobs are, as far as they exist.
  static func progress(_ ids: [JobID]) -> Statement {
    Statement(
      "SELECT id, state, epoch, output_tokens FROM millrace.jobs WHERE id = ANY($1)",
      ids.map(\.uuid))
  }
}

extension JobProgress {
  /// Reads a row of `Statement.progress`.
  init(row: Row) throws {
    self.init(
      state: try row.decodeCase("state"), epoch: try row.decode("epoch"),
      outputTokens: try row.decode("output_tokens"))
  }
}
