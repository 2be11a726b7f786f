import Foundation
import JobQueue
import Logging
import Postgres
import Synchronization

/// Tells other processes what happened in this one: collects signals and sends them together, off
/// the write path, at most once per interval.
final class Notifier: Sendable {
  static let channel = "millrace_jobs"
  /// Beyond so many jobs at once, others are told to look at everything.
  static let maxPending = 4_000

  struct Pending {
    var isReady = false
    var progressed: Set<JobID> = []
    var revoked: Set<JobID> = []
  }

  /// Tells this process's notifications from those of others.
  let origin = UUID()
  private let interval: Duration
  private let pending = Mutex(Pending())
  private let wake: AsyncStream<Void>
  private let wakeInput: AsyncStream<Void>.Continuation

  init(interval: Duration) {
    self.interval = interval
    (wake, wakeInput) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
  }

  func add(_ signals: [JobSignal]) {
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
      // One beyond the limit is remembered as "too many".
      if pending.progressed.count > Self.maxPending + 1 {
        pending.progressed = Set(pending.progressed.prefix(Self.maxPending + 1))
      }
      if pending.revoked.count > Self.maxPending + 1 {
        pending.revoked = Set(pending.revoked.prefix(Self.maxPending + 1))
      }
    }
    wakeInput.yield()
  }

  func run(pool: ConnectionPool, logger: Logger) async {
    for await _ in wake {
      let statements = payloads(for: take()).map {
        Statement.notify(channel: Self.channel, payload: $0.text)
      }
      guard !statements.isEmpty else { continue }
      do {
        _ = try await pool.withConnection { try await $0.pipeline(statements) }
      } catch {
        // Signals are hints; after an outage the listeners report themselves interrupted.
        logger.debug("cannot notify other processes", metadata: ["error": "\(error)"])
      }
      guard (try? await Task.sleep(for: interval)) != nil else { return }
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
