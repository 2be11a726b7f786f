import JobQueue
import Logging
import Postgres

extension PostgresJobStore {
  /// The pause before the listener connects again.
  private static let reconnectPause = Duration.milliseconds(250)

  /// Hears what other processes announce, on a connection of its own, for as long as the task
  /// lives. After an outage subscribers are told that they may have missed something.
  func listen() async {
    var wasInterrupted = false
    while !Task.isCancelled {
      do {
        let connection = try await Connection.connect(self.connection, logger: logger)
        try await connection.listen(Notifier.channel)
        if wasInterrupted {
          logger.info("hearing notifications again")
          hub.emit([.interrupted])
        }
        wasInterrupted = true
        for try await notification in connection.notifications(on: Notifier.channel) {
          guard let payload = SignalPayload(notification.payload),
            payload.origin != notifier.origin
          else { continue }
          hub.emit(payload.signals)
        }
      } catch {
        guard !Task.isCancelled else { return }
        logger.debug("the listener lost its connection", metadata: ["error": "\(error)"])
        wasInterrupted = true
        _ = try? await Task.sleep(for: Self.reconnectPause)
      }
    }
  }
}
