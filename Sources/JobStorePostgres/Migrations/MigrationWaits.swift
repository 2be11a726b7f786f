import JobQueue
import Logging
import Postgres

/// Says for whom a migration waits, so that a start that takes long explains itself.
struct MigrationWaits: Sendable {
  /// The server's process that carries the migration out.
  var processID: Int32
  var configuration: ConnectionConfiguration
  var interval: Duration
  var logger: Logger

  /// Looks again and again until the task is cancelled.
  func report() async {
    while (try? await Task.sleep(for: interval)) != nil {
      do {
        let connection = try await Connection.connect(configuration, logger: logger)
        let rows = try await connection.query(Self.blockers(of: processID))
        await connection.close()
        for row in rows {
          let process: Int32 = try row.decode("pid")
          let application: String = try row.decode("application_name")
          let state: String = try row.decode("state")
          let age: Int64 = try row.decode("age")
          logger.notice(
            "The migration waits for another session; it goes on when that one's transaction ends",
            metadata: [
              "process": "\(process)", "application": "\(application)", "state": "\(state)",
              "transaction's seconds": "\(age)",
            ])
        }
      } catch {
        logger.debug(
          "It is not known for whom the migration waits", metadata: ["error": "\(error)"])
      }
    }
  }

  private static func blockers(of processID: Int32) -> Statement {
    Statement(
      """
      SELECT
        a.pid, coalesce(a.application_name, '') AS application_name,
        coalesce(a.state, '') AS state,
        coalesce(extract(epoch FROM clock_timestamp() - a.xact_start), 0)::bigint AS age
      FROM pg_stat_activity AS a
      WHERE a.pid = ANY(pg_blocking_pids($1)) AND a.pid <> pg_backend_pid()
      ORDER BY a.xact_start
      """, processID)
  }
}
