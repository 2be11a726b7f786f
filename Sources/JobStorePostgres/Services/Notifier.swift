import Foundation
package import JobQueue
package import Logging
import Postgres
import Synchronization

/// Tells other processes what happened in this one: collects signals and sends them together, off
/// the write path, at most once per interval. What could not be sent is sent again with what came
/// meanwhile.
package final class Notifier: Sendable {
  static let channel = "millrace_jobs"
  /// Beyond so many jobs at once, others are told to look at everything.
  package static let maxPending = 4_000
  /// The shortest pause after a failure.
  private static let retryPause = Duration.milliseconds(100)

  struct Pending {
    var isReady = false
    var progressed: Set<JobID> = []
    var revoked: Set<JobID> = []

    mutating func formUnion(_ other: Pending) {
      isReady = isReady || other.isReady
      progressed.formUnion(other.progressed)
      revoked.formUnion(other.revoked)
      shorten()
    }

    /// One beyond the limit is remembered as "too many".
    mutating func shorten() {
      if progressed.count > Notifier.maxPending + 1 {
        progressed = Set(progressed.prefix(Notifier.maxPending + 1))
      }
      if revoked.count > Notifier.maxPending + 1 {
        revoked = Set(revoked.prefix(Notifier.maxPending + 1))
      }
    }
  }

  /// Tells this process's notifications from those of others.
  let origin = UUID()
  private let interval: Duration
  private let pending = Mutex(Pending())
  private let wake: AsyncStream<Void>
  private let wakeInput: AsyncStream<Void>.Continuation

  package init(interval: Duration) {
    self.interval = interval
    (wake, wakeInput) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
  }

  package func add(_ signals: [JobSignal]) {
    guard !signals.isEmpty else { return }
    pending.withLock { pending in
      for signal in signals {
        switch signal {
        case .ready: pending.isReady = true
        case .progressed(let id, _): pending.progressed.insert(id)
        case .revoked(let id): pending.revoked.insert(id)
        case .interrupted: break
        }
      }
      pending.shorten()
    }
    wakeInput.yield()
  }

  func run(pool: ConnectionPool, logger: Logger) async {
    await run(logger: logger) { payloads in
      let statements = payloads.map { Statement.notify(channel: Self.channel, payload: $0) }
      _ = try await pool.withConnection { try await $0.pipeline(statements) }
    }
  }

  /// Hands what is collected to `send`, as the texts of notifications, until cancelled.
  package func run(logger: Logger, send: ([String]) async throws -> Void) async {
    for await _ in wake {
      let batch = take()
      let payloads = payloads(for: batch)
      guard !payloads.isEmpty else { continue }
      var pause = interval
      do {
        try await send(payloads.map(\.text))
      } catch {
        logger.debug("cannot notify other processes", metadata: ["error": "\(error)"])
        pending.withLock { $0.formUnion(batch) }
        wakeInput.yield()
        pause = max(pause, Self.retryPause)
      }
      guard (try? await Task.sleep(for: pause)) != nil else { return }
    }
  }

  private func take() -> Pending {
    pending.withLock { pending in
      defer { pending = Pending() }
      return pending
    }
  }

  func payloads(for pending: Pending) -> [SignalPayload] {
    guard pending.progressed.count <= Self.maxPending, pending.revoked.count <= Self.maxPending
    else { return [SignalPayload(origin: origin, kind: .interrupted)] }
    var payloads: [SignalPayload] = []
    if pending.isReady { payloads.append(SignalPayload(origin: origin, kind: .ready)) }
    for (kind, ids) in [
      (SignalPayload.Kind.revoked, pending.revoked), (.progressed, pending.progressed),
    ] {
      let list = ids.sorted()
      for start in stride(from: 0, to: list.count, by: SignalPayload.maxIDs) {
        let part = list[start..<min(start + SignalPayload.maxIDs, list.count)]
        payloads.append(SignalPayload(origin: origin, kind: kind, ids: Array(part)))
      }
    }
    return payloads
  }
}
