import Foundation
import JobQueue
import JobStorePostgres
import Logging
import TestDatabase
import Testing

@Suite("Notifications to other processes")
struct NotifierTests {
  private struct Busy: Error {}

  /// Runs a notifier whose first attempts to send fail, until one succeeds; the body is called
  /// with the number of each failure.
  private func firstSent(
    by notifier: Notifier, failures: Int, onFailure: @escaping @Sendable (Int) -> Void
  ) async -> [String] {
    let (sent, input) = AsyncStream<[String]>.makeStream()
    return await withTaskGroup(of: Void.self) { group in
      group.addTask {
        var failed = 0
        await notifier.run(logger: TestServer.logger) { payloads in
          guard failed < failures else {
            input.yield(payloads)
            return
          }
          failed += 1
          onFailure(failed)
          throw Busy()
        }
      }
      defer { group.cancelAll() }
      for await payloads in sent { return payloads }
      return []
    }
  }

  @Test("what could not be sent is sent later, with what came meanwhile")
  func busy() async {
    let notifier = Notifier(interval: .milliseconds(1))
    let ids = (0..<4).map { _ in JobID(UUID()) }
    notifier.add([.progressed(ids[0], nil), .revoked(ids[1]), .ready])
    let sent = await firstSent(by: notifier, failures: 2) { failure in
      notifier.add([.progressed(ids[1 + failure], nil)])
    }
    func named(_ kind: String) -> Set<String> {
      Set(
        sent.filter { $0.contains(" \(kind) ") }.flatMap {
          $0.split(separator: " ").last?.split(separator: ",").map(String.init) ?? []
        })
    }
    #expect(sent.count == 3)
    #expect(sent.contains { $0.hasSuffix(" ready ") })
    #expect(named("revoked") == [ids[1].description])
    #expect(named("progressed") == [ids[0].description, ids[2].description, ids[3].description])
  }

  @Test("what is too much to keep becomes a word to look at everything")
  func overflow() async {
    let notifier = Notifier(interval: .milliseconds(1))
    func some() -> [JobSignal] {
      (0..<Notifier.maxPending).map { _ in .progressed(JobID(UUID()), nil) }
    }
    notifier.add(some())
    let more = some()
    let sent = await firstSent(by: notifier, failures: 1) { _ in notifier.add(more) }
    #expect(sent.count == 1)
    #expect(sent.first?.hasSuffix(" interrupted ") == true)
  }
}
