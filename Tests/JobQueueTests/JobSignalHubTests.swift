import Foundation
import JobQueue
import Testing

@Suite("Signals to subscribers")
struct JobSignalHubTests {
  private func read(_ count: Int, of signals: AsyncStream<JobSignal>) async -> [JobSignal] {
    var read: [JobSignal] = []
    while read.count < count {
      for await signal in signals {
        read.append(signal)
        break
      }
    }
    return read
  }

  @Test("a subscriber that lost signals is told so, once", arguments: [1, 2, 4_096, 20_000])
  func lost(count: Int) async {
    let hub = JobSignalHub()
    let signals = hub.subscribe()
    let limit = JobSignalHub.bufferedSignals
    for _ in 0..<2 {
      hub.emit(Array(repeating: .ready, count: limit + count))
      let found = await read(limit, of: signals)
      #expect(found.count { $0 == .interrupted } == 1)
      // Nothing was lost since: nothing is told.
      let id = JobID(UUID())
      hub.emit([.revoked(id)])
      #expect(await read(1, of: signals) == [.revoked(id)])
    }
  }

  @Test("a full subscriber has lost nothing")
  func full() async {
    let hub = JobSignalHub()
    let signals = hub.subscribe()
    hub.emit(Array(repeating: .ready, count: JobSignalHub.bufferedSignals))
    let found = await read(JobSignalHub.bufferedSignals, of: signals)
    #expect(found.allSatisfy { $0 == .ready })
  }
}
