import Postgres
import Testing

/// The pool's decisions, compared action by action, with no server and no time passing.
struct PoolStateMachineTests {
  typealias Machine = PoolStateMachine
  typealias Action = PoolStateMachine.Action

  private let start = ContinuousClock.now

  private func machine(min: Int = 0, max: Int = 2, maxWaiters: Int = 2) -> Machine {
    Machine(
      PoolConfiguration(
        minConnections: min, maxConnections: max, maxWaiters: maxWaiters,
        idleTimeout: .seconds(300), checkInterval: .seconds(30),
        initialBackoff: .milliseconds(100), maxBackoff: .milliseconds(300)))
  }

  private func connection(_ number: Int) -> Machine.ConnectionID { .init(number: number) }
  private func waiter(_ number: Int) -> Machine.WaiterID { .init(number: number) }

  @Test("connections are opened for those who wait, up to the maximum, and handed on")
  func demand() {
    var machine = machine(max: 2, maxWaiters: 3)
    #expect(machine.start(now: start) == [])
    #expect(machine.lease(waiter(1), now: start) == [.open(connection(1), after: .zero)])
    #expect(machine.lease(waiter(2), now: start) == [.open(connection(2), after: .zero)])
    #expect(machine.lease(waiter(3), now: start) == [])
    #expect(machine.lease(waiter(4), now: start) == [.reject(waiter(4), .tooManyWaiters)])
    #expect(machine.opened(connection(1), now: start) == [.grant(waiter(1), connection(1))])
    #expect(
      machine.release(connection(1), isUsable: true, now: start)
        == [.grant(waiter(2), connection(1))])
    #expect(machine.opened(connection(2), now: start) == [.grant(waiter(3), connection(2))])
    #expect(machine.release(connection(2), isUsable: true, now: start) == [])
    #expect(machine.release(connection(1), isUsable: true, now: start) == [])
    // The one used last is used next.
    #expect(machine.lease(waiter(5), now: start) == [.grant(waiter(5), connection(1))])
  }

  @Test("the minimum is kept open, and broken connections are replaced")
  func minimum() {
    var machine = machine(min: 2, max: 3)
    #expect(
      machine.start(now: start) == [
        .open(connection(1), after: .zero), .open(connection(2), after: .zero),
      ])
    #expect(machine.opened(connection(1), now: start) == [])
    #expect(machine.opened(connection(2), now: start) == [])
    #expect(machine.lease(waiter(1), now: start) == [.grant(waiter(1), connection(2))])
    #expect(
      machine.release(connection(2), isUsable: false, now: start) == [
        .close(connection(2)), .open(connection(3), after: .zero),
      ])
  }

  @Test("while the server is away callers are told at once and attempts become rare")
  func backoff() {
    var machine = machine(min: 0, max: 4, maxWaiters: 10)
    #expect(machine.lease(waiter(1), now: start) == [.open(connection(1), after: .zero)])
    #expect(machine.lease(waiter(2), now: start) == [.open(connection(2), after: .zero)])
    #expect(
      machine.openFailed(connection(1), now: start, jitter: 1) == [
        .reject(waiter(1), .unavailable), .reject(waiter(2), .unavailable),
      ])
    #expect(machine.openFailed(connection(2), now: start, jitter: 0) == [])
    // Two failures: 200 ms, halved by the jitter.
    #expect(
      machine.lease(waiter(3), now: start)
        == [.open(connection(3), after: .milliseconds(100))])
    #expect(machine.lease(waiter(4), now: start) == [])
    #expect(
      machine.openFailed(connection(3), now: start, jitter: 1) == [
        .reject(waiter(3), .unavailable), .reject(waiter(4), .unavailable),
      ])
    let later = start + .milliseconds(250)
    #expect(
      machine.lease(waiter(5), now: later)
        == [.open(connection(4), after: .milliseconds(50))])
    #expect(machine.opened(connection(4), now: later) == [.grant(waiter(5), connection(4))])
    #expect(machine.lease(waiter(6), now: later) == [.open(connection(5), after: .zero)])
  }

  @Test("a failed attempt does not disturb waiters while other connections live")
  func partialFailure() {
    var machine = machine(max: 2)
    _ = machine.lease(waiter(1), now: start)
    _ = machine.opened(connection(1), now: start)
    _ = machine.lease(waiter(2), now: start)
    #expect(
      machine.openFailed(connection(2), now: start, jitter: 1)
        == [.open(connection(3), after: .milliseconds(100))])
    #expect(
      machine.release(connection(1), isUsable: true, now: start)
        == [.grant(waiter(2), connection(1))])
  }

  @Test("idle connections are tried out, and closed when there are too many")
  func idle() {
    var machine = machine(min: 1, max: 2)
    _ = machine.start(now: start)
    _ = machine.opened(connection(1), now: start)
    #expect(machine.tick(now: start + .seconds(29)) == [])
    #expect(machine.tick(now: start + .seconds(30)) == [.check(connection(1))])
    #expect(machine.tick(now: start + .seconds(99)) == [])
    #expect(
      machine.lease(waiter(1), now: start + .seconds(99))
        == [.open(connection(2), after: .zero)])
    #expect(
      machine.checked(connection(1), isUsable: true, now: start + .seconds(100))
        == [.grant(waiter(1), connection(1))])
    #expect(machine.opened(connection(2), now: start + .seconds(100)) == [])
    #expect(
      machine.release(connection(1), isUsable: true, now: start + .seconds(390)) == [])
    #expect(machine.tick(now: start + .seconds(400)) == [.close(connection(2))])
    #expect(machine.tick(now: start + .seconds(420)) == [.check(connection(1))])
    #expect(
      machine.checked(connection(1), isUsable: false, now: start + .seconds(421)) == [
        .close(connection(1)), .open(connection(3), after: .zero),
      ])
  }

  @Test("waiters can give up, and are then not granted anything")
  func abandon() {
    var machine = machine(max: 1)
    _ = machine.lease(waiter(1), now: start)
    let wasWaiting = machine.abandon(waiter(1))
    #expect(wasWaiting)
    let isStillWaiting = machine.abandon(waiter(1))
    #expect(!isStillWaiting)
    #expect(machine.opened(connection(1), now: start) == [])
    #expect(machine.idleCount == 1)
  }

  @Test("a shutdown refuses callers, closes what is idle and waits for the rest")
  func shutDown() {
    var machine = machine(min: 0, max: 3)
    for number in 1...2 {
      _ = machine.lease(waiter(number), now: start)
      _ = machine.opened(connection(number), now: start)
    }
    _ = machine.release(connection(1), isUsable: true, now: start)
    _ = machine.lease(waiter(3), now: start)
    _ = machine.release(connection(1), isUsable: true, now: start)
    #expect(machine.shutDown() == [.close(connection(1))])
    #expect(machine.lease(waiter(4), now: start) == [.reject(waiter(4), .closed)])
    #expect(
      machine.release(connection(2), isUsable: true, now: start) == [
        .close(connection(2)), .finished,
      ])
    #expect(machine.shutDown() == [])
    #expect(machine.tick(now: start + .seconds(900)) == [])
  }
}
