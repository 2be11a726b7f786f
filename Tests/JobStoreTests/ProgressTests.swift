import JobQueue
import JobStorePostgres
import Logging
import Postgres
import TestDatabase
import Testing

@Suite(.serialized) struct ProgressTests {
  @Test("the progress of many jobs is told at once", arguments: StoreKind.allCases)
  func progress(kind: StoreKind) async throws {
    try await withStore(kind) { test in
      let (_, running) = try await test.running()
      let (_, ended) = try await test.running()
      let queued = try await test.submit()
      #expect(try await test.write(running, from: 0, [1, 2, 3]) == .written)
      #expect(try await test.write(ended, from: 0, [1], end: .succeeded(.stop)) == .written)
      let ids = [running.job, ended.job, queued]
      let found = try await test.store.progress(of: ids + [test.submission().id, queued])
      #expect(
        found == [
          running.job: JobProgress(state: .running, epoch: running.epoch, outputTokens: 3),
          ended.job: JobProgress(state: .succeeded, epoch: ended.epoch, outputTokens: 1),
          queued: JobProgress(state: .queued, epoch: 0, outputTokens: 0),
        ])
      for job in try await test.store.jobs(ids, tenant: nil) {
        #expect(job.progress == found[job.id])
      }
      #expect(try await test.store.progress(of: []).isEmpty)
      let tooMany = Array(repeating: queued, count: JobLimits.jobsPerGet + 1)
      await #expect(throws: JobStoreError.self) {
        try await test.store.progress(of: tooMany)
      }
    }
  }

  @Test(
    "a watcher of a job whose output is lost is told so",
    arguments: [
      "UPDATE millrace.jobs SET output_tokens = 3 WHERE id = $1",
      "DELETE FROM millrace.output_chunks WHERE job_id = $1",
    ])
  func corrupt(damage: String) async throws {
    let database = try await MigratedDatabases.shared.make()
    let clock = TestClock()
    try await withPostgresStore(database, now: { clock.now }) { store in
      let test = StoreUnderTest(store: store, clock: clock)
      let (_, lease) = try await test.running()
      #expect(try await test.write(lease, from: 0, [1, 2], end: .succeeded(.stop)) == .written)
      let connection = try await Connection.connect(
        ConnectionConfiguration(connectionString: database), logger: TestServer.logger)
      try await connection.query(Statement(damage, lease.job.uuid))
      await connection.close()
      let hub = WatchHub(store: store, logger: TestServer.logger)
      await withTaskGroup(of: Void.self) { group in
        group.addTask { await hub.run() }
        await #expect(throws: WatchError.corrupt) {
          try await hub.watch(lease.job, from: 0) { _ in }
        }
        group.cancelAll()
      }
    }
  }
}
