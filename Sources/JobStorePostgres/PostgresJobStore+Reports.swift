import JobQueue
import Postgres

extension PostgresJobStore {
  /// Makes a client's call that may read much: few at once, and for a limited time.
  ///
  /// - Throws: `.exhausted` for one that takes too long.
  func report<Value: Sendable>(
    _ what: String, _ body: @Sendable (Connection) async throws -> Value
  ) async throws(JobStoreError) -> Value {
    do {
      return try await perform(on: reportPool, body)
    } catch {
      guard error.sqlState == SQLState.queryCanceled.rawValue, error.code != .cancelled else {
        throw error
      }
      throw JobStoreError(
        code: .exhausted,
        message: "\(what) would take longer than \(Self.reportTimeout); narrow the filter, such as "
          + "by tenant or time, or ask again when the database has less to do",
        sqlState: error.sqlState, cause: error)
    }
  }
}
