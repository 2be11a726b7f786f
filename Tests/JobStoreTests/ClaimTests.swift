import Foundation
import JobQueue
import JobStorePostgres
import Postgres
import TestDatabase
import Testing

@Suite(.serialized) struct ClaimTests {
  @Test("a claim starts the job under a new epoch", arguments: StoreKind.allCases)
  func claim(kind: StoreKind) async throws {
    try await withStore(kind) { test in
      let executor = try await test.executor()
      let id = try await test.submit()
      test.clock.advance(by: .seconds(2))
      let claimed = try await test.claim(executor, ["model": 5])
      #expect(claimed.map(\.job.id) == [id])
      let job = try #require(claimed.first?.job)
      #expect(job.state == .running)
      #expect(job.executor == executor)
      #expect(job.attempt == 1)
      #expect(job.epoch == 1)
      #expect(job.startTime == test.clock.now)
      #expect(try await test.store.job(id, tenant: nil) == job)
      #expect(try await test.claim(executor, ["model": 5]).isEmpty)
    }
  }

  @Test(
    "priority comes before age, and models have rooms of their own",
    arguments: StoreKind.allCases)
  func order(kind: StoreKind) async throws {
    try await withStore(kind) { test in
      let executor = try await test.executor(models: ["model", "other"])
      let low = try await test.submit(priority: -1)
      let old = try await test.submit()
      let new = try await test.submit()
      let high = try await test.submit(priority: 9)
      let others = [
        try await test.submit(model: "other"), try await test.submit(model: "other"),
      ]
      _ = try await test.submit(model: "third")
      #expect(try await test.claim(executor, ["model": 2]).map(\.job.id) == [high, old])
      let rest = try await test.claim(executor, ["model": 5, "other": 1, "none": 3])
      #expect(Set(rest.map(\.job.id)) == [new, low, others[0]])
      #expect(try await test.claim(executor, ["other": 0]).isEmpty)
      #expect(try await test.claim(executor, [:]).isEmpty)
    }
  }

  @Test("tenants share fairly within a priority", arguments: StoreKind.allCases)
  func fairness(kind: StoreKind) async throws {
    try await withStore(kind) { test in
      let executor = try await test.executor()
      var greedy: [JobID] = []
      for _ in 0..<6 { greedy.append(try await test.submit(tenant: "greedy")) }
      let modest = [try await test.submit(tenant: "m"), try await test.submit(tenant: "m")]
      let urgent = try await test.submit(tenant: "greedy", priority: 1)
      // The urgent job counts for its tenant: then it is the other's turn.
      let first = try await test.claim(executor, ["model": 2])
      #expect(first.map(\.job.id) == [urgent, modest[0]])
      // One running each: the older job goes first, then in turns.
      let second = try await test.claim(executor, ["model": 3])
      #expect(Set(second.map(\.job.id)) == [greedy[0], modest[1], greedy[1]])
      // The modest tenant's new job overtakes the greedy one's old ones.
      let late = try await test.submit(tenant: "m")
      #expect(try await test.claim(executor).map(\.job.id) == [late])
    }
  }

  @Test(
    "with very many tenants claims come round to all, by priority", arguments: StoreKind.allCases)
  func manyTenants(kind: StoreKind) async throws {
    try await withStore(kind) { test in
      let executor = try await test.executor()
      let tenants = (0..<300).map { "t\($0)" }
      for _ in 0..<2 {
        test.clock.advance(by: .milliseconds(1))
        _ = try await test.store.submit(tenants.map { test.submission(tenant: $0) })
      }
      // Priorities hold, wherever in the alphabet the tenant is.
      for tenant in ["t0", "t150", "t99"] {
        let urgent = try await test.submit(tenant: tenant, priority: 5)
        let claimed = try await test.claim(executor, ["model": 1])
        #expect(claimed.map(\.job.id) == [urgent])
        _ = try await test.write(claimed[0].lease, end: .succeeded(.stop))
      }
      var claimed: [Job] = []
      while claimed.count < 600 {
        let jobs = try await test.claim(executor, ["model": 20]).map(\.job)
        try #require(jobs.count == 20)
        claimed += jobs
        // Jobs that are done do not count for their tenants any more.
        for job in jobs {
          _ = try await test.write(Lease(job: job.id, epoch: job.epoch), end: .succeeded(.stop))
        }
      }
      #expect(Set(claimed.map(\.id)).count == 600)
      // Nobody waits for more than a few rounds, although all could be served many times over.
      let first = claimed.prefix(400).map(\.tenant)
      #expect(Set(first).count == 300)
      // More room than a walk has groups.
      _ = try await test.store.submit(tenants.map { test.submission(tenant: $0) })
      #expect(try await test.claim(executor, ["model": 290]).count == 290)
    }
  }

  @Test("a job is claimed only between run_after and deadline", arguments: StoreKind.allCases)
  func schedule(kind: StoreKind) async throws {
    try await withStore(kind) { test in
      let executor = try await test.executor()
      let now = test.clock.now
      let later = try await test.submit(runAfter: now + .seconds(10))
      let closing = try await test.submit(deadline: now + .seconds(5))
      let past = try await test.submit(runAfter: now)
      #expect(try await test.claim(executor).map(\.job.id) == [closing])
      try await test.store.deregister(executor)  // hands it back
      let other = try await test.executor()
      test.clock.advance(by: .seconds(5))
      #expect(try await test.claim(other, ["model": 3]).map(\.job.id) == [past])
      test.clock.advance(by: .seconds(5))
      #expect(try await test.claim(other, ["model": 3]).map(\.job.id) == [later])
    }
  }

  @Test(
    "executors that are unknown, draining or past their lease get nothing",
    arguments: StoreKind.allCases)
  func refused(kind: StoreKind) async throws {
    try await withStore(kind) { test in
      try await test.submit()
      #expect(try await test.claim(ExecutorID()).isEmpty)
      let draining = try await test.executor()
      #expect(try await test.store.drain(draining))
      #expect(try await test.claim(draining).isEmpty)
      let beat = try await test.store.heartbeat(
        draining, leases: [], leaseDuration: StoreUnderTest.leaseDuration)
      #expect(beat == HeartbeatResult(isRegistered: true, isDraining: true, held: []))
      let late = try await test.executor()
      test.clock.advance(by: StoreUnderTest.leaseDuration)
      #expect(try await test.claim(late).isEmpty)
      _ = try await test.store.heartbeat(
        late, leases: [], leaseDuration: StoreUnderTest.leaseDuration)
      #expect(try await test.claim(late).count == 1)
      #expect(try await test.store.drain(ExecutorID()) == false)
    }
  }

  @Test("claimers at the same time never share a job and leave none", arguments: StoreKind.allCases)
  func concurrent(kind: StoreKind) async throws {
    try await withStore(kind) { test in
      let submissions = (0..<120).map { test.submission(tenant: "t\($0 % 3)") }
      _ = try await test.store.submit(submissions)
      var executors: [ExecutorID] = []
      for _ in 0..<6 { executors.append(try await test.executor()) }
      let claimed = try await withThrowingTaskGroup(of: [JobID].self) { group in
        for executor in executors {
          group.addTask {
            var mine: [JobID] = []
            // Whoever finds nothing asks again until nothing is queued any more: another
            // claimer may have held the locks.
            while try await test.store.statistics().jobs[.queued] != 0 {
              mine += try await test.claim(executor, ["model": 7]).map(\.job.id)
            }
            return mine
          }
        }
        return try await group.reduce(into: []) { $0 += $1 }
      }
      #expect(claimed.count == 120)
      #expect(Set(claimed) == Set(submissions.map(\.id)))
    }
  }

  @Test("a claim says for which models there is more", arguments: StoreKind.allCases)
  func more(kind: StoreKind) async throws {
    try await withStore(kind) { test in
      let executor = try await test.executor(models: ["model", "other"])
      for _ in 0..<3 { try await test.submit() }
      try await test.submit(model: "other")
      try await test.submit(model: "third")
      func claim(_ room: [String: Int]) async throws -> ClaimResult {
        try await test.store.claim(ClaimRequest(executor: executor, room: room))
      }
      let first = try await claim(["model": 2, "other": 1, "none": 1])
      #expect(first.jobs.count == 3)
      #expect(first.modelsWithMore == ["model"])
      let second = try await claim(["model": 1, "other": 1])
      #expect(second.jobs.count == 1)
      #expect(second.modelsWithMore.isEmpty)
      #expect(try await claim(["model": 1, "other": 1]) == ClaimResult())
    }
  }

  @Test("claims pass over what others hold, and say so where nothing else is left")
  func lockedByOthers() async throws {
    let database = try await MigratedDatabases.shared.make()
    let clock = TestClock()
    try await withPostgresStore(database, now: { clock.now }) { store in
      let test = StoreUnderTest(store: store, clock: clock)
      let executor = try await test.executor()
      let submissions = (0..<70).map { _ in test.submission() }
      _ = try await store.submit(submissions)
      let other = try await Connection.connect(
        ConnectionConfiguration(connectionString: database), logger: TestServer.logger)
      try await other.query("BEGIN")
      // What the claim of another executor with room for 64 holds.
      let held = try await other.query(
        """
        SELECT id FROM millrace.jobs ORDER BY priority DESC, create_time, id LIMIT 64
        FOR UPDATE SKIP LOCKED
        """)
      #expect(held.count == 64)
      #expect(try await test.claim(executor, ["model": 4]).count == 4)
      let rest = try await store.claim(ClaimRequest(executor: executor, room: ["model": 4]))
      #expect(rest.jobs.count == 2)
      #expect(rest.modelsWithMore == ["model"])
      let none = try await store.claim(ClaimRequest(executor: executor, room: ["model": 4]))
      #expect(none == ClaimResult(modelsWithMore: ["model"]))
      try await other.query("COMMIT")
      #expect(try await test.claim(executor, ["model": 4]).count == 4)
      await other.close()
    }
  }

  @Test("a claim brings the committed tokens of earlier attempts", arguments: StoreKind.allCases)
  func resume(kind: StoreKind) async throws {
    try await withStore(kind) { test in
      let (executor, lease) = try await test.running()
      #expect(try await test.write(lease, from: 0, [5, 6]) == .written)
      #expect(try await test.write(lease, from: 2, [7]) == .written)
      try await test.store.release([lease], executor: executor)
      let fresh = try await test.submit()
      let claimed = try await test.claim(executor, ["model": 2])
      #expect(claimed.map(\.job.id) == [lease.job, fresh])
      #expect(claimed.map(\.committedTokens) == [[5, 6, 7], []])
      let resumed = try #require(claimed.first)
      #expect(try await test.write(resumed.lease, from: 3, [8]) == .written)
      #expect(try await test.tokens(lease.job) == [5, 6, 7, 8])
    }
  }
}
