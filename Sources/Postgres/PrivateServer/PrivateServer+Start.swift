import Foundation
import Logging
import Synchronization

extension PrivateServer {
  /// How often the state of a starting or stopping server is looked at; it announces nothing.
  static let pollInterval = Duration.milliseconds(10)

  func prepareFolders() throws {
    try account.checkReachable(folder.data)
    try account.makePrivateFolder(folder.path)
    if !folder.socket.hasPrefix(folder.path + "/") { try checkForeignFolder(folder.socket) }
    try account.makePrivateFolder(folder.socket)
  }

  /// A folder in a place that everybody can write to may have been put there by somebody else.
  private func checkForeignFolder(_ path: String) throws {
    var info = stat()
    guard lstat(path, &info) == 0 else { return }
    guard info.st_mode & S_IFMT == S_IFDIR, info.st_uid == account.userID else {
      throw PostgresError(
        code: .privateServer,
        message: "the folder \(path), where the server's socket belongs, is somebody else's; "
          + "remove it, or choose a data folder with a shorter path")
    }
  }

  /// Makes the data folder: all of it, or, when something fails on the way, none.
  func initialize(_ binaries: ServerBinaries) async throws {
    let temporary = folder.path + "/data.new"
    do {
      for leftover in [temporary, folder.data]
      where FileManager.default.fileExists(atPath: leftover) {
        guard leftover == temporary || isEmpty(leftover) else {
          throw PostgresError(
            code: .privateServer,
            message: "\(leftover) holds files, but no PostgreSQL data; move them away")
        }
        try await removeUnfinished(leftover)
      }
      logger.info("setting up the private PostgreSQL server in \(folder.path)")
      var arguments = [
        "-D", temporary, "-U", "millrace", "--auth=trust", "--encoding=UTF8", "--locale=C",
        "--no-instructions",
      ]
      if !options.isDurable { arguments.append("--no-sync") }
      let command = try account.command(binaries.initdb, arguments, diesWithParent: true)
      let child = try await ChildProcess.spawn(command, output: folder.startLog)
      guard let exit = await child.waitForExit(until: .now + options.startTimeout) else {
        // It tidies up when it is asked to end, and waits for the programs that it started.
        await Self.end(child, patience: .seconds(10))
        throw PostgresError(
          code: Task.isCancelled ? .cancelled : .privateServer,
          message: "initdb did not end in time; see \(folder.startLog)")
      }
      guard exit == .exited(0) else {
        throw PostgresError(
          code: .privateServer,
          message: "initdb failed (\(exit)): \(folder.lastWords); see \(folder.startLog)")
      }
      let settings = temporary + "/postgresql.conf"
      let text = try String(contentsOfFile: settings, encoding: .utf8)
      try Data((text + "\ninclude 'millrace.conf'\n").utf8).write(
        to: URL(fileURLWithPath: settings))  // in place: the owner stays
      try FileManager.default.moveItem(atPath: temporary, toPath: folder.data)
    } catch let error as PostgresError {
      throw error
    } catch {
      throw PostgresError(
        code: .privateServer, message: "cannot set up \(folder.path)", cause: error)
    }
  }

  /// Removes what an unfinished set-up left behind. Where that was killed, the programs that it had
  /// started may still write for a moment.
  private func removeUnfinished(_ path: String) async throws {
    let deadline = ContinuousClock.now + .seconds(10)
    while FileManager.default.fileExists(atPath: path) {
      do {
        try FileManager.default.removeItem(atPath: path)
      } catch {
        guard .now < deadline else { throw error }
        try await Task.sleep(for: Self.pollInterval)
      }
    }
  }

  private func isEmpty(_ path: String) -> Bool {
    (try? FileManager.default.contentsOfDirectory(atPath: path))?.isEmpty ?? false
  }

  /// Starts the server on its data folder and waits until it is ready.
  func launch(_ binaries: ServerBinaries) async throws {
    try await stopLeftover()
    try writeSettings()
    let command = try account.command(
      binaries.postgres, ["-D", folder.data], diesWithParent: true)
    let deadline = ContinuousClock.now + options.startTimeout
    while true {
      let child = try await ChildProcess.spawn(command, output: folder.startLog)
      state.withLock { $0.child = child }
      guard let exit = try await waitUntilReady(child, deadline: deadline) else { return }
      // The server's children outlive a killed server for a moment and hold its shared memory.
      let words = folder.lastWords
      let isTransient =
        words.contains("shared memory block") || words.contains("lock file")
      guard isTransient, .now < deadline else {
        throw PostgresError(
          code: .privateServer,
          message: "PostgreSQL did not start (\(exit)): \(words); see \(folder.startLog) and "
            + "\(folder.data)/log")
      }
      try await Task.sleep(for: .milliseconds(200))
    }
  }

  /// - Returns: how the server ended instead of getting ready; `nil` when it is ready.
  private func waitUntilReady(
    _ child: ChildProcess, deadline: ContinuousClock.Instant
  ) async throws -> ChildProcess.Exit? {
    while true {
      if let exit = await child.waitForExit(until: .now + Self.pollInterval) { return exit }
      if let file = PostmasterFile(at: folder.processIDFile), file.processID == child.processID,
        file.isReady
      {
        return nil
      }
      guard .now < deadline, !Task.isCancelled else {
        child.send(SIGQUIT)
        throw PostgresError(
          code: Task.isCancelled ? .cancelled : .privateServer,
          message: "PostgreSQL did not get ready in time; see \(folder.data)/log")
      }
    }
  }

  /// Stops a server of this data folder that an earlier process left behind, and clears away the
  /// mark of one that is dead.
  func stopLeftover() async throws {
    guard let file = PostmasterFile(at: folder.processIDFile) else { return }
    guard file.isAlive(data: folder.data) else {
      // A dead server's file stays: the new one uses it to find children that are still alive.
      // Only where its number is another program's by now would it keep the server away.
      guard kill(file.processID, 0) == 0 || errno == EPERM else { return }
      try? FileManager.default.removeItem(atPath: folder.processIDFile)
      return
    }
    logger.notice("stopping a PostgreSQL server that an earlier run left behind")
    for (signal, patience) in [(SIGINT, options.stopTimeout), (SIGQUIT, .seconds(10))] {
      kill(file.processID, signal)
      let deadline = ContinuousClock.now + patience
      while .now < deadline {
        guard file.isAlive(data: folder.data) else { return }
        try await Task.sleep(for: Self.pollInterval)
      }
    }
    throw PostgresError(
      code: .privateServer,
      message: "the PostgreSQL server with process id \(file.processID), left behind on this data "
        + "folder, does not stop; stop it by hand")
  }

  private func writeSettings() throws {
    let path = folder.data + "/millrace.conf"
    do {
      try Data(options.settings(socketFolder: folder.socket).utf8).write(
        to: URL(fileURLWithPath: path))
    } catch {
      throw PostgresError(code: .privateServer, message: "cannot write \(path)", cause: error)
    }
    if account.isOther, chown(path, account.userID, account.groupID) != 0 {
      throw PostgresError(
        code: .privateServer, message: "cannot give \(path) to \(account.name)")
    }
  }

  /// Makes the database on the first start.
  func createDatabase() async throws {
    var configuration = ConnectionConfiguration(
      connectionString: connectionString.replacing(
        "dbname=\(options.database)", with: "dbname=postgres"))
    configuration.connectTimeout = .seconds(10)
    let connection = try await Connection.connect(configuration, logger: logger)
    let exists = try await connection.query(
      "SELECT 1 FROM pg_database WHERE datname = $1", options.database)
    if exists.isEmpty {
      let name = options.database.replacing("\"", with: "\"\"")
      try await connection.execute(script: "CREATE DATABASE \"\(name)\"")
    }
    await connection.close()
  }
}
