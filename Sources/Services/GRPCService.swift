public import JobQueue
public import RPC
public import ServiceLifecycle

/// The gRPC server as a long-lived service of the process.
///
/// On graceful shutdown it says NOT_SERVING, ends the watches (their clients resume elsewhere),
/// lets the other calls end, and stops.
public struct GRPCService: Service {
  let server: Server
  let board: HealthBoard
  let hub: WatchHub
  let grace: Duration

  public init(server: Server, board: HealthBoard, hub: WatchHub, grace: Duration = .seconds(10)) {
    self.server = server
    self.board = board
    self.hub = hub
    self.grace = grace
  }

  public func run() async throws {
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try await server.run() }
      group.addTask {
        try? await gracefulShutdown()
        board.close()
        hub.close()
        await server.shutDownGracefully(within: grace)
      }
      try await group.next()
      group.cancelAll()
    }
  }
}

/// The watch hub as a long-lived service of the process.
public struct WatchService: Service {
  let hub: WatchHub

  public init(hub: WatchHub) {
    self.hub = hub
  }

  public func run() async throws {
    await cancelWhenGracefulShutdown { await hub.run() }
  }
}
