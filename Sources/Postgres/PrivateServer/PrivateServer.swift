import Foundation
public import Logging
import Synchronization

/// A PostgreSQL server of our own: set up on first use, reachable by its unix socket only, started
/// again when it dies, and stopped with us.
///
///     let server = try PrivateServer(dataDirectory: path, logger: logger)
///     let connectionString = try await server.start()
///     try await server.run()   // supervises until cancelled, then stops the server
///
/// There is no password: the socket lies in a folder that only the server's user can enter. When
/// this process is killed, the kernel tells the server to shut down; what is still there at the
/// next start is stopped properly first. A live server's files are never touched.
public final class PrivateServer: Sendable {
  struct State {
    var child: ChildProcess?
    var lock: FolderLock?
    var isStarting = false
  }

  let options: PrivateServerOptions
  let logger: Logger
  let folder: ServerFolder
  let account: ServerAccount
  let state = Mutex(State())

  /// - Throws: `PostgresError.Code.privateServer` when there is no user to run the server as.
  public init(
    dataDirectory: String, options: PrivateServerOptions = PrivateServerOptions(), logger: Logger
  ) throws {
    self.options = options
    self.logger = logger
    folder = try ServerFolder(dataDirectory)
    account = try ServerAccount.choose(named: options.account)
  }

  /// The server's process, while it runs.
  public var processID: Int32? {
    state.withLock { state in
      state.child.flatMap { $0.exit == nil ? $0.processID : nil }
    }
  }

  /// How to connect. Stays the same over restarts.
  public var connectionString: String {
    let host = folder.socket
      .replacing("\\", with: "\\\\").replacing("'", with: "\\'")
    return "host='\(host)' port=5432 user=millrace dbname=\(options.database)"
  }

  /// Sets the server up if it is new, starts it and waits until it answers.
  ///
  /// - Returns: the connection string.
  /// - Throws: `PostgresError.Code.privateServer`, with the remedy, when PostgreSQL is not
  ///   installed, the folder cannot be used, or the server does not start.
  @discardableResult
  public func start() async throws -> String {
    if processID != nil { return connectionString }
    let mayStart = state.withLock { state in
      defer { state.isStarting = true }
      return !state.isStarting
    }
    guard mayStart else {
      throw PostgresError(
        code: .privateServer, message: "the private PostgreSQL server is being started already")
    }
    defer { state.withLock { $0.isStarting = false } }
    try prepareFolders()
    if state.withLock({ $0.lock == nil }) {
      let lock = try FolderLock(folder.lock)
      state.withLock { $0.lock = lock }
    }
    do {
      let binaries = try ServerBinaries.find(
        in: options.binaryFolder, version: folder.dataVersion)
      if folder.dataVersion == nil { try await initialize(binaries) }
      try await launch(binaries)
      try await createDatabase()
      return connectionString
    } catch {
      await stop()
      throw error
    }
  }

  /// Watches over the server, starting it again when it dies, until the task is cancelled; then
  /// stops it. Starts it first where that was not done.
  public func run() async throws {
    try await start()
    var backoff = options.initialBackoff
    while !Task.isCancelled {
      guard let child = state.withLock({ $0.child }) else { break }
      let startTime = ContinuousClock.now
      guard let exit = await child.waitForExit(until: nil) else { break }
      if state.withLock({ $0.child == nil }) { break }  // stopped on purpose
      if ContinuousClock.now - startTime > .seconds(60) { backoff = options.initialBackoff }
      logger.error(
        "the private PostgreSQL server ended (\(exit)); starting it again",
        metadata: ["last_words": "\(folder.lastWords)"])
      backoff = await restart(after: backoff)
    }
    await stop()
  }

  /// Tries to start the server until it runs or the task is cancelled.
  private func restart(after first: Duration) async -> Duration {
    var backoff = first
    while !Task.isCancelled {
      guard (try? await Task.sleep(for: backoff)) != nil else { break }
      backoff = min(backoff * 2, options.maxBackoff)
      do {
        let binaries = try ServerBinaries.find(
          in: options.binaryFolder, version: folder.dataVersion)
        try await launch(binaries)
        logger.info("the private PostgreSQL server runs again")
        return backoff
      } catch {
        logger.error(
          "cannot start the private PostgreSQL server", metadata: ["error": "\(error)"])
      }
    }
    return backoff
  }

  /// Stops the server: a fast shutdown, and if that takes too long, an immediate one.
  public func stop() async {
    let child = state.withLock { state in
      defer { state.child = nil }
      return state.child
    }
    if let child { await Self.end(child, patience: options.stopTimeout) }
    // A socket folder outside of the data folder goes too, if nothing is left in it.
    if !folder.socket.hasPrefix(folder.path + "/") { rmdir(folder.socket) }
    state.withLock { $0.lock = nil }
  }

  static func end(_ child: ChildProcess, patience: Duration) async {
    for (signal, patience) in [
      (SIGINT, patience), (SIGQUIT, .seconds(10)), (SIGKILL, .seconds(10)),
    ] {
      child.send(signal)
      let deadline = ContinuousClock.now + patience
      if await child.waitForExit(until: deadline, ignoringCancellation: true) != nil { return }
    }
  }
}

/// Holds a folder for this process: a second one is told so instead of fighting over it.
final class FolderLock: Sendable {
  private let descriptor: Int32

  init(_ path: String) throws {
    descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else {
      throw PostgresError(code: .privateServer, message: "cannot create the file \(path)")
    }
    // What throws from here on runs `deinit`, which closes the file; closing it here as well would
    // hit whatever got its number meanwhile.
    guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
      throw PostgresError(
        code: .privateServer,
        message: "another process is using this data folder (it holds \(path)); stop it, or "
          + "choose another folder")
    }
  }

  deinit {
    if descriptor >= 0 { close(descriptor) }
  }
}
