public import JobQueue
public import ServiceLifecycle

/// Keeps the health board true: serving while the database answers.
public struct HealthMonitor: Service {
  let board: HealthBoard
  let store: any JobStore
  let interval: Duration

  public init(board: HealthBoard, store: any JobStore, interval: Duration = .seconds(2)) {
    self.board = board
    self.store = store
    self.interval = interval
  }

  public func run() async throws {
    await cancelWhenGracefulShutdown {
      repeat {
        let isReachable = (try? await store.executors()) != nil
        board.set(isReachable ? .serving : .notServing)
      } while (try? await Task.sleep(for: interval)) != nil
    }
  }
}
