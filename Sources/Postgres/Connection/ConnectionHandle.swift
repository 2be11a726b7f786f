import CLibPQ
import Foundation
import Logging
import Synchronization

/// Owns a `PGconn` and everything that hangs on it.
///
/// Used by one `Connection` (an actor), so by one thread at a time; that is what makes it Sendable.
final class ConnectionHandle: @unchecked Sendable {
  let pointer: OpaquePointer
  let cancelHandle: CancelHandle
  private let notices: NoticeSink
  private(set) var isOpen = true

  private init(_ pointer: OpaquePointer, cancelHandle: CancelHandle, notices: NoticeSink) {
    self.pointer = pointer
    self.cancelHandle = cancelHandle
    self.notices = notices
  }

  deinit {
    PQfinish(pointer)
  }

  /// Ends the session. The memory goes with the object.
  func close() {
    guard isOpen else { return }
    isOpen = false
    // Half-closing tells the server at once; libpq frees the rest in deinit.
    shutdown(PQsocket(pointer), Int32(SHUT_RDWR))
  }

  var errorMessage: String { Self.errorMessage(pointer) }

  /// Whether the socket has something to read, which nobody asked for.
  var hasUnreadBytes: Bool {
    var entry = pollfd(fd: PQsocket(pointer), events: Int16(POLLIN), revents: 0)
    return poll(&entry, 1, 0) != 0
  }

  func nextNotification() -> Notification? {
    guard let notify = PQnotifies(pointer) else { return nil }
    defer { PQfreemem(notify) }
    return Notification(
      channel: String(cString: notify.pointee.relname),
      payload: notify.pointee.extra.map { String(cString: $0) } ?? "",
      serverProcessID: notify.pointee.be_pid)
  }

  /// Connects without blocking a cooperative thread: libpq's steps run on a thread of their own,
  /// because some of them look up names, and the waiting between them is the reactor's.
  static func open(
    _ configuration: ConnectionConfiguration, logger: Logger
  ) async throws -> ConnectionHandle {
    let deadline = ContinuousClock.now + configuration.connectTimeout
    let parameters = configuration.parameters
    let started = await BlockingThread.connecting.run { Attempt(start(parameters)) }
    guard let pointer = started.pointer else {
      throw PostgresError(code: .cannotConnect, message: "out of memory")
    }
    do {
      try await finish(pointer, deadline: deadline)
    } catch {
      PQfinish(pointer)
      throw error
    }
    let notices = NoticeSink(logger)
    PQsetNoticeReceiver(
      pointer,
      { context, result in
        guard let context, let result else { return }
        Unmanaged<NoticeSink>.fromOpaque(context).takeUnretainedValue().receive(result)
      }, Unmanaged.passUnretained(notices).toOpaque())
    guard PQsetnonblocking(pointer, 1) == 0, let cancel = PQgetCancel(pointer) else {
      let message = errorMessage(pointer)
      PQfinish(pointer)
      throw PostgresError(code: .cannotConnect, message: message)
    }
    return ConnectionHandle(pointer, cancelHandle: CancelHandle(cancel), notices: notices)
  }

  /// Carries a pointer from one thread to the next.
  private struct Attempt: @unchecked Sendable {
    var pointer: OpaquePointer?
    init(_ pointer: OpaquePointer?) { self.pointer = pointer }
  }

  private static func start(_ parameters: [(String, String)]) -> OpaquePointer? {
    var keywords: [UnsafeMutablePointer<CChar>?] = parameters.map { strdup($0.0) } + [nil]
    var values: [UnsafeMutablePointer<CChar>?] = parameters.map { strdup($0.1) } + [nil]
    defer { for string in keywords + values { free(string) } }
    return keywords.withUnsafeMutableBufferPointer { keywords in
      values.withUnsafeMutableBufferPointer { values in
        keywords.withMemoryRebound(to: UnsafePointer<CChar>?.self) { keywords in
          values.withMemoryRebound(to: UnsafePointer<CChar>?.self) { values in
            PQconnectStartParams(keywords.baseAddress, values.baseAddress, 1)
          }
        }
      }
    }
  }

  private static func finish(
    _ pointer: OpaquePointer, deadline: ContinuousClock.Instant
  ) async throws {
    guard PQstatus(pointer) != CONNECTION_BAD else { throw cannotConnect(pointer) }
    var interest = Reactor.Interest.write
    let attempt = Attempt(pointer)
    while true {
      switch await Reactor.shared.cancellableWait(
        for: interest, on: PQsocket(pointer), until: deadline)
      {
      case .ready: break
      case .cancelled:
        throw PostgresError(code: .cancelled, message: "cancelled while connecting")
      case .timedOut:
        throw PostgresError(
          code: .cannotConnect,
          message: "the server did not answer in time; check its address, and raise the connect "
            + "timeout if it is far away")
      }
      let step = await BlockingThread.connecting.run {
        attempt.pointer.map { PQconnectPoll($0) } ?? PGRES_POLLING_FAILED
      }
      switch step {
      case PGRES_POLLING_OK: return
      case PGRES_POLLING_READING: interest = .read
      case PGRES_POLLING_WRITING: interest = .write
      default: throw cannotConnect(pointer)
      }
    }
  }

  /// libpq does not hand out the SQLSTATE of a refused connection, only the server's words.
  private static func cannotConnect(_ pointer: OpaquePointer) -> PostgresError {
    PostgresError(code: .cannotConnect, message: errorMessage(pointer))
  }

  private static func errorMessage(_ pointer: OpaquePointer) -> String {
    let message = PQerrorMessage(pointer).map { String(cString: $0) } ?? ""
    return message.split(whereSeparator: \.isNewline).joined(separator: "; ")
  }
}

/// Takes the server's notices (warnings, mostly) to the log.
private final class NoticeSink: Sendable {
  let logger: Logger

  init(_ logger: Logger) {
    self.logger = logger
  }

  func receive(_ result: OpaquePointer) {
    func field(_ field: Int32) -> String {
      PQresultErrorField(result, field).map { String(cString: $0) } ?? ""
    }
    let severity = field(millrace_diag_severity)
    let level: Logger.Level = severity == "WARNING" ? .warning : .debug
    logger.log(
      level: level, "PostgreSQL: \(field(millrace_diag_message))",
      metadata: ["sqlstate": "\(field(millrace_diag_sqlstate))"])
  }
}
