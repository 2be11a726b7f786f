public import JobQueue
public import ServiceLifecycle

/// Keeps the health board true: serving once the executor is ready, while the database answers.
public struct HealthMonitor: Service {
  let board: HealthBoard
  let interval: Duration
  let isReady: @Sendable () -> Bool
  let ping: @Sendable () async throws -> Void

  /// How often a start that is not over yet is looked at.
  private static let startInterval = Duration.milliseconds(50)

  /// - Parameter isReady: whether everything else that serving needs is there.
  public init(
    board: HealthBoard, store: any JobStore, interval: Duration = .seconds(2),
    isReady: @escaping @Sendable () -> Bool
  ) {
    self.init(board: board, interval: interval, isReady: isReady) { try await store.ping() }
  }

  package init(
    board: HealthBoard, interval: Duration, isReady: @escaping @Sendable () -> Bool,
    ping: @escaping @Sendable () async throws -> Void
  ) {
    self.board = board
    self.interval = interval
    self.isReady = isReady
    self.ping = ping
  }

  public func run() async throws {
    await cancelWhenGracefulShutdown {
      while !isReady() {
        guard (try? await Task.sleep(for: Self.startInterval)) != nil else { return }
      }
      repeat {
        let isReachable = (try? await ping()) != nil
        board.set(isReachable ? .serving : .notServing)
      } while (try? await Task.sleep(for: interval)) != nil
    }
  }
}
