import CLibPQ

/// What another session said with NOTIFY.
public struct Notification: Hashable, Sendable {
  public var channel: String
  public var payload: String
  public var serverProcessID: Int32
}

extension Connection {
  /// Subscribes to a channel; read with `nextNotification` or `notifications(on:)`.
  public func listen(_ channel: String) async throws {
    try await execute(script: "LISTEN \(Self.quoted(channel))")
  }

  /// The next notification on any subscribed channel, waiting for it as long as it takes.
  ///
  /// - Throws: `.connectionLost` when the server goes away, `.cancelled` when the task is
  ///   cancelled, `.exhausted` once when notifications had to be dropped.
  public func nextNotification() async throws -> Notification {
    guard !isBusy, !isBroken, handle.isOpen else {
      throw PostgresError(
        code: isBusy ? .misuse : .connectionLost, message: "the connection cannot listen now")
    }
    isBusy = true
    defer {
      isBusy = false
      if isBroken { handle.close() }
    }
    // What came with the answer to a statement has been read from the socket already.
    while let notification = handle.nextNotification() { keep(notification) }
    while notifications.isEmpty {
      switch await Reactor.shared.cancellableWait(
        for: .read, on: PQsocket(handle.pointer), until: nil)
      {
      case .cancelled:
        throw PostgresError(code: .cancelled, message: "the task was cancelled")
      case .ready, .timedOut: try consume()
      }
      guard PQstatus(handle.pointer) == CONNECTION_OK else { throw lost() }
    }
    if droppedNotifications {
      droppedNotifications = false
      throw PostgresError(
        code: .exhausted, message: "notifications came faster than they were read; some are lost")
    }
    return notifications.removeFirst()
  }

  /// Subscribes to the channel and iterates over what arrives on it.
  ///
  /// The connection can run no statement while the sequence is being read.
  public nonisolated func notifications(on channel: String) -> NotificationSequence {
    NotificationSequence(connection: self, channel: channel)
  }

  private static func quoted(_ identifier: String) -> String {
    "\"" + identifier.replacing("\"", with: "\"\"") + "\""
  }
}

/// The notifications of one channel, from the moment of the first `next()` on.
public struct NotificationSequence: AsyncSequence, Sendable {
  public typealias Element = Notification
  let connection: Connection
  let channel: String

  public func makeAsyncIterator() -> Iterator {
    Iterator(connection: connection, channel: channel)
  }

  public struct Iterator: AsyncIteratorProtocol {
    let connection: Connection
    let channel: String
    var isListening = false

    public mutating func next() async throws -> Notification? {
      if !isListening {
        try await connection.listen(channel)
        isListening = true
      }
      while true {
        let notification = try await connection.nextNotification()
        if notification.channel == channel { return notification }
      }
    }
  }
}
