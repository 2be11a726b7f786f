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

  let handle: ConnectionHandle
  let logger: Logger
  var prepared: [Statement.Key: String] = [:]
  var isBusy = false
  var isBroken = false
  var interruption: Interruption?
  var notifications: [Notification] = []
  var droppedNotifications = false
  /// How long a cancelled statement may take to end before the connection is given up.
  private let cancelGracePeriod: Duration
  /// The longest that the server may stay silent when it is waited for; `nil` is without limit.
  private var responseTimeout: Duration?

  private init(
    handle: ConnectionHandle, configuration: ConnectionConfiguration, logger: Logger
  ) {
    self.handle = handle
    self.logger = logger
    cancelGracePeriod = configuration.responseGracePeriod
    responseTimeout = configuration.connectTimeout
  }

  /// Connects, and brings the session to the settings that the program relies on.
  ///
  /// - Throws: `PostgresError`, `.cannotConnect` or `.timedOut`.
  public static func connect(
    _ configuration: ConnectionConfiguration, logger: Logger
  ) async throws -> Connection {
    let handle = try await ConnectionHandle.open(configuration, logger: logger)
    let connection = Connection(handle: handle, configuration: configuration, logger: logger)
    do {
      try await connection.begin(configuration)
    } catch {
      await connection.close()
      throw error
    }
    return connection
  }

  private func begin(_ configuration: ConnectionConfiguration) async throws {
    try await execute(script: configuration.sessionScript(serverVersion: serverVersion))
    responseTimeout = configuration.responseTimeout
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

  /// The encoding of the database's texts, such as `UTF8`.
  public var serverEncoding: String { parameter("server_encoding") ?? "" }

  /// A setting that the server tells of by itself whenever it changes.
  func parameter(_ name: String) -> String? {
    guard handle.isOpen else { return nil }
    return PQparameterStatus(handle.pointer, name).map { String(cString: $0) }
  }

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
    if await !interruption.finish(within: cancelGracePeriod) { isBroken = true }
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

  /// Waits for the socket. A server that stays silent for longer than a statement may run has
  /// stopped, or is gone; a cancelled statement is given some seconds to end.
  func wait(for interest: Reactor.Interest) async throws {
    let deadline = responseTimeout.map { ContinuousClock.now + $0 }
    while true {
      let look = ContinuousClock.now + .seconds(1)
      let outcome = await Reactor.shared.wait(
        for: interest, on: PQsocket(handle.pointer), until: deadline.map { min($0, look) } ?? look)
      if case .ready = outcome { return }
      let now = ContinuousClock.now
      if let since = interruption?.requestTime, now - since > cancelGracePeriod {
        isBroken = true
        throw PostgresError(
          code: .cancelled, message: "the server did not answer a cancel request in time")
      }
      if let deadline, now >= deadline {
        isBroken = true
        throw PostgresError(
          code: .timedOut,
          message: "the server has stayed silent for longer than a statement may run; is it "
            + "stopped, or its machine gone?")
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
