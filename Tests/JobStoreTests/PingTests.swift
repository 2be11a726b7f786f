import JobQueue
import JobStorePostgres
import TestDatabase
import Testing

@Suite("Asking a store for a sign of life") struct PingTests {
  @Test("is answered while the store is there", arguments: StoreKind.allCases)
  func answered(kind: StoreKind) async throws {
    try await withStore(kind) { test in try await test.store.ping() }
  }
}
