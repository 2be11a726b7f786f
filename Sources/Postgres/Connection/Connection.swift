import CLibPQ
import Foundation
public import Logging

/// One connection to PostgreSQL, for one statement at a time.
///
/// libpq in its non-blocking mode; the waiting is done by the `Reactor`. A second statement while
/// one is under way is refused as a misuse: send several in one `pipeline`, or take another
/// connection from the pool.
///
/// Cancelling the task cancels the statement on the server; the connection stays usable.
public actor Connection {
  /// The most statements that are prepared on one connection; more are sent unprepared.
  static let maxPreparedStatements = 256
  /// How long a cancelled statement may take to end before the connection is given up.
  static let cancelGracePeriod = Duration.seconds(5)

  let handle: ConnectionHandle
  let logger: Logger
  var prepared: [Statement.Key: String] = [:]
  var isBusy = false
  var isBroken = false
  var interruption: Interruption?
  var notifications: [Notification] = []
  var droppedNotifications = false

  init(handle: ConnectionHandle, logger: Logger) {
    self.handle = handle
    self.logger = logger
  }

  /// Connects.
  ///
  /// - Throws: `PostgresError`, `.cannotConnect` or `.timedOut`.
  public static func connect(
    _ configuration: ConnectionConfiguration, logger: Logger
  ) async throws -> Connection {
    let handle = try await ConnectionHandle.open(configuration, logger: logger)
    return Connection(handle: handle, logger: logger)
  }

  /// Whether the connection can still be used, as far as can be told without asking the server.
  public var isUsable: Bool {
    guard !isBroken, !isBusy, handle.isOpen else { return false }
    guard PQstatus(handle.pointer) == CONNECTION_OK else { return false }
    guard PQtransactionStatus(handle.pointer) == PQTRANS_IDLE else { return false }
    guard handle.hasUnreadBytes else { return true }
    // Bytes from a server that was asked nothing: a notification, or its farewell.
    guard PQconsumeInput(handle.pointer) == 1 else { return false }
    let known = notifications.count
    while let notification = handle.nextNotification() { keep(notification) }
    return notifications.count > known
  }

  /// Closes the connection; nothing can be sent any more.
  public func close() {
    isBroken = true
    guard !isBusy else { return }  // the statement under way closes it at its end
    handle.close()
  }

  /// The process of the server that serves this connection.
  public var serverProcessID: Int32 { handle.isOpen ? PQbackendPID(handle.pointer) : 0 }

  /// The server's version as a number, such as 150020 for 15.20.
  public var serverVersion: Int32 { handle.isOpen ? PQserverVersion(handle.pointer) : 0 }

  // MARK: One exchange at a time

  /// Runs a conversation with the server: alone, cancellable, and marking the connection broken
  /// when it is.
  func exchange<Value: Sendable>(
    _ body: (isolated Connection) async throws -> Value
  ) async throws -> Value {
    guard !isBroken, handle.isOpen else {
      throw PostgresError(
        code: .connectionLost, message: "the connection is closed; take a new one")
    }
    guard !isBusy else {
      throw PostgresError(
        code: .misuse,
        message: "the connection is busy with another statement; use a pipeline or a second "
          + "connection")
    }
    try checkCancelled()
    isBusy = true
    let interruption = Interruption(handle.cancelHandle)
    self.interruption = interruption
    defer {
      self.interruption = nil
      isBusy = false
      if isBroken { handle.close() }
    }
    let outcome: Result<Value, any Error>
    do {
      outcome = .success(
        try await withTaskCancellationHandler {
          try await body(self)
        } onCancel: {
          interruption.request()
        })
    } catch {
      outcome = .failure(error)
    }
    // A cancel request that is still on its way must not hit the next statement.
    await interruption.finish()
    if PQstatus(handle.pointer) != CONNECTION_OK { isBroken = true }
    return try outcome.get()
  }

  private func checkCancelled() throws {
    if Task.isCancelled {
      throw PostgresError(code: .cancelled, message: "the task was cancelled")
    }
  }

  // MARK: Waiting

  /// Sends everything that is buffered, reading meanwhile so that neither side gets stuck.
  func flush() async throws {
    while true {
      switch PQflush(handle.pointer) {
      case 0: return
      case 1:
        try await wait(for: [.read, .write])
        try consume()
      default: throw lost()
      }
    }
  }

  /// The next result, or `nil` at the end of a statement's results.
  func nextResult() async throws -> ResultHandle? {
    while PQisBusy(handle.pointer) != 0 {
      try await wait(for: .read)
      try consume()
    }
    return PQgetResult(handle.pointer).map { ResultHandle($0) }
  }

  func consume() throws {
    guard PQconsumeInput(handle.pointer) == 1 else { throw lost() }
    while let notification = handle.nextNotification() { keep(notification) }
  }

  /// Waits for the socket, for as long as it takes; a cancelled statement is given some seconds
  /// to end.
  func wait(for interest: Reactor.Interest) async throws {
    while true {
      let outcome = await Reactor.shared.wait(
        for: interest, on: PQsocket(handle.pointer), until: .now + .seconds(1))
      if case .ready = outcome { return }
      if let since = interruption?.requestTime, .now - since > Self.cancelGracePeriod {
        isBroken = true
        throw PostgresError(
          code: .cancelled, message: "the server did not answer a cancel request in time")
      }
    }
  }

  /// The connection is gone: says so, with libpq's words.
  func lost() -> PostgresError {
    isBroken = true
    return PostgresError(
      code: .connectionLost,
      message: "the connection to the server broke: \(handle.errorMessage)")
  }

  // MARK: Notifications

  /// The most notifications that are kept for a reader.
  static let maxNotifications = 10_000

  func keep(_ notification: Notification) {
    guard notifications.count < Self.maxNotifications else { return droppedNotifications = true }
    notifications.append(notification)
  }
}
