public import JobQueue
import Postgres

extension PostgresJobStore {
  public func progress(of ids: [JobID]) async throws(JobStoreError) -> [JobID: JobProgress] {
    guard !ids.isEmpty else { return [:] }
    guard ids.count <= JobLimits.jobsPerGet else {
      throw .tooMany("ids", limit: JobLimits.jobsPerGet)
    }
    return try await perform { connection in
      try await connection.query(.progress(ids)).reduce(into: [:]) { found, row in
        found[JobID(try row.decode("id"))] = try JobProgress(row: row)
      }
    }
  }
}
