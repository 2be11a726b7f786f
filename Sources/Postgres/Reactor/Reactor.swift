import Foundation
import Synchronization

/// Waits for sockets and deadlines on one thread of its own, so that no thread of the cooperative
/// pool ever blocks on the network.
///
/// Built on `poll(2)`: a process has tens of database connections, where the cost of handing the
/// kernel the whole list does not show, and it works the same everywhere. Every registration
/// fires exactly once, with what happened first.
final class Reactor: Sendable {
  /// The process's reactor; its thread starts with the first use.
  static let shared = Reactor()

  struct Interest: OptionSet {
    let rawValue: UInt8
    static let read = Interest(rawValue: 1)
    static let write = Interest(rawValue: 2)

    fileprivate var events: Int16 {
      Int16(contains(.read) ? POLLIN : 0) | Int16(contains(.write) ? POLLOUT : 0)
    }
  }

  enum Outcome: Sendable {
    case ready, timedOut, cancelled
  }

  typealias Action = @Sendable (Outcome) -> Void

  struct Registration: Hashable {
    fileprivate let id: UInt64
  }

  private struct Entry {
    /// Negative for a deadline alone; `poll` passes over such entries.
    var descriptor: Int32
    var events: Int16
    var deadline: ContinuousClock.Instant?
    var action: Action
  }

  private struct State {
    var entries: [UInt64: Entry] = [:]
    var isStarted = false
    /// Whether a byte is in the pipe, so that a second one is not needed.
    var isWoken = false
  }

  private let state = Mutex(State())
  private let nextID = Atomic<UInt64>(1)
  /// A pipe to wake the thread with: a byte in it means that there is something new to wait for.
  private let wakePipe: (read: Int32, write: Int32)

  private init() {
    var ends: [Int32] = [-1, -1]
    _ = pipe(&ends)
    for end in ends {
      _ = fcntl(end, F_SETFD, FD_CLOEXEC)
      _ = fcntl(end, F_SETFL, O_NONBLOCK)
    }
    wakePipe = (ends[0], ends[1])
  }

  /// Suspends until the descriptor is ready or the deadline has passed, whether or not the task
  /// is cancelled.
  func wait(
    for interest: Interest, on descriptor: Int32, until deadline: ContinuousClock.Instant?
  ) async -> Outcome {
    await withCheckedContinuation { continuation in
      add(reserve(), interest: interest, descriptor: descriptor, deadline: deadline) {
        continuation.resume(returning: $0)
      }
    }
  }

  /// Suspends until the descriptor is ready, the deadline has passed or the task is cancelled.
  func cancellableWait(
    for interest: Interest, on descriptor: Int32, until deadline: ContinuousClock.Instant?
  ) async -> Outcome {
    let registration = reserve()
    return await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        add(registration, interest: interest, descriptor: descriptor, deadline: deadline) {
          continuation.resume(returning: $0)
        }
        // A cancellation before the registration was made found nothing to fire.
        if Task.isCancelled { cancel(registration) }
      }
    } onCancel: {
      cancel(registration)
    }
  }

  /// Calls the action at the deadline, on the reactor's thread: it must not block.
  func schedule(
    at deadline: ContinuousClock.Instant, _ action: @escaping @Sendable () -> Void
  ) -> Registration {
    let registration = reserve()
    add(registration, interest: [], descriptor: -1, deadline: deadline) { outcome in
      if case .timedOut = outcome { action() }
    }
    return registration
  }

  /// Fires the registration as cancelled, unless it has fired already.
  func cancel(_ registration: Registration) {
    fire(registration.id, .cancelled)
  }

  private func reserve() -> Registration {
    Registration(id: nextID.add(1, ordering: .relaxed).newValue)
  }

  private func add(
    _ registration: Registration, interest: Interest, descriptor: Int32,
    deadline: ContinuousClock.Instant?, action: @escaping Action
  ) {
    let (mustStart, mustWake) = state.withLock { state in
      state.entries[registration.id] = Entry(
        descriptor: descriptor, events: interest.events, deadline: deadline, action: action)
      defer {
        state.isStarted = true
        state.isWoken = true
      }
      return (!state.isStarted, !state.isWoken)
    }
    if mustStart {
      let thread = Thread { self.loop() }
      thread.name = "postgres-reactor"
      thread.start()
    }
    if mustWake {
      var byte: UInt8 = 1
      _ = write(wakePipe.write, &byte, 1)
    }
  }

  private func fire(_ id: UInt64, _ outcome: Outcome) {
    state.withLock { $0.entries.removeValue(forKey: id) }?.action(outcome)
  }

  private func loop() {
    while true {
      let (ids, descriptors, timeout) = nextPoll()
      var list = descriptors
      let count = poll(&list, nfds_t(list.count), timeout)
      if count > 0 {
        if list[0].revents != 0 { emptyPipe() }
        for (index, id) in ids.enumerated() where list[index + 1].revents != 0 {
          fire(id, .ready)
        }
      }
      let now = ContinuousClock.Instant.now
      let overdue = state.withLock { state in
        state.entries.filter { $0.value.deadline.map { $0 <= now } ?? false }.map(\.key)
      }
      for id in overdue { fire(id, .timedOut) }
    }
  }

  /// What to wait for now: the pipe first, then every registration.
  private func nextPoll() -> (ids: [UInt64], descriptors: [pollfd], timeout: Int32) {
    state.withLock { state in
      state.isWoken = false
      var ids: [UInt64] = []
      var descriptors = [pollfd(fd: wakePipe.read, events: Int16(POLLIN), revents: 0)]
      var next: ContinuousClock.Instant?
      for (id, entry) in state.entries {
        ids.append(id)
        descriptors.append(pollfd(fd: entry.descriptor, events: entry.events, revents: 0))
        if let deadline = entry.deadline { next = next.map { min($0, deadline) } ?? deadline }
      }
      guard let next else { return (ids, descriptors, -1) }
      // Rounded up, so that the thread does not wake just before the deadline and spin.
      let milliseconds = (next - .now) / .milliseconds(1)
      return (ids, descriptors, Int32(min(max(milliseconds.rounded(.up), 0), 60_000)))
    }
  }

  private func emptyPipe() {
    var bytes = [UInt8](repeating: 0, count: 64)
    while read(wakePipe.read, &bytes, bytes.count) > 0 {}
  }
}
