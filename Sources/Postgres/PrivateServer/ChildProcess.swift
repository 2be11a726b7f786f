import Foundation
import Synchronization

/// A process that this one started, with a thread of its own that waits for its end.
///
/// The thread also starts it: the kernel's "tell me when my parent dies" means the thread that
/// made the child, so that thread must live as long as the child does.
final class ChildProcess: Sendable {
  let processID: pid_t
  private let end: Ending

  private init(processID: pid_t, end: Ending) {
    self.processID = processID
    self.end = end
  }

  /// Starts a program in a process group of its own, out of reach of the terminal's Ctrl-C, with
  /// its output going to a file.
  static func spawn(_ command: [String], output: String) async throws -> ChildProcess {
    let end = Ending()
    let started = await withCheckedContinuation {
      (continuation: CheckedContinuation<Result<pid_t, PostgresError>, Never>) in
      let thread = Thread {
        let result = start(command, output: output)
        continuation.resume(returning: result)
        if case .success(let processID) = result { end.set(wait(for: processID)) }
      }
      thread.name = "postgres-child"
      thread.start()
    }
    return ChildProcess(processID: try started.get(), end: end)
  }

  /// How a process ended.
  enum Exit: Hashable, Sendable, CustomStringConvertible {
    case exited(Int32)
    case signalled(Int32)

    var description: String {
      switch self {
      case .exited(let status): "exit status \(status)"
      case .signalled(let signal): "signal \(signal)"
      }
    }
  }

  /// How the process ended; `nil` while it runs.
  var exit: Exit? { end.exit }

  /// Waits for the end of the process; `nil` when the deadline passes or the task is cancelled
  /// before.
  func waitForExit(
    until deadline: ContinuousClock.Instant?, ignoringCancellation: Bool = false
  ) async -> Exit? {
    await end.wait(until: deadline, ignoringCancellation: ignoringCancellation)
  }

  /// Sends a signal, unless the process has ended (its number may be another's by now).
  func send(_ signal: Int32) {
    if exit == nil { kill(processID, signal) }
  }

  /// Runs a program to its end and returns what it printed; `nil` when it failed. Blocks; only for
  /// programs that answer at once.
  static func output(of program: String, _ arguments: [String]) -> String? {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: program)
    process.arguments = arguments
    let pipe = Pipe()
    process.standardOutput = pipe
    process.standardError = FileHandle.nullDevice
    guard (try? process.run()) != nil else { return nil }
    let data = pipe.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    return process.terminationStatus == 0 ? String(decoding: data, as: UTF8.self) : nil
  }

  private static func wait(for processID: pid_t) -> Exit {
    var status: Int32 = 0
    while waitpid(processID, &status, 0) < 0 {
      guard errno == EINTR else { return .exited(-1) }
    }
    let signal = status & 0x7f
    return signal == 0 ? .exited((status >> 8) & 0xff) : .signalled(signal)
  }

  private static func start(
    _ command: [String], output: String
  ) -> Result<pid_t, PostgresError> {
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
    posix_spawn_file_actions_addopen(&actions, 1, output, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
    posix_spawn_file_actions_adddup2(&actions, 1, 2)

    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    var none = sigset_t()
    sigemptyset(&none)
    var all = sigset_t()
    sigfillset(&all)
    posix_spawnattr_setsigmask(&attributes, &none)
    posix_spawnattr_setsigdefault(&attributes, &all)
    posix_spawnattr_setpgroup(&attributes, 0)
    posix_spawnattr_setflags(
      &attributes,
      Int16(POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))

    let environment =
      ProcessInfo.processInfo.environment
      .filter { !$0.key.hasPrefix("PG") }.map { "\($0.key)=\($0.value)" } + ["LC_ALL=C"]
    var arguments: [UnsafeMutablePointer<CChar>?] = command.map { strdup($0) } + [nil]
    var variables: [UnsafeMutablePointer<CChar>?] = environment.map { strdup($0) } + [nil]
    defer { for string in arguments + variables { free(string) } }
    var processID: pid_t = 0
    let error = posix_spawn(
      &processID, command[0], &actions, &attributes, &arguments, &variables)
    guard error == 0 else {
      return .failure(
        PostgresError(
          code: .privateServer,
          message: "cannot start \(command[0]): \(String(cString: strerror(error)))"))
    }
    return .success(processID)
  }
}

/// The end of a process, set once and awaited by any number of tasks.
private final class Ending: Sendable {
  private struct State {
    var exit: ChildProcess.Exit?
    var waiters: [Int: CheckedContinuation<ChildProcess.Exit?, Never>] = [:]
    var nextID = 0
  }

  private let state = Mutex(State())

  var exit: ChildProcess.Exit? { state.withLock { $0.exit } }

  func set(_ exit: ChildProcess.Exit) {
    let waiters = state.withLock { state in
      state.exit = exit
      defer { state.waiters = [:] }
      return state.waiters.values.map { $0 }
    }
    for waiter in waiters { waiter.resume(returning: exit) }
  }

  func wait(
    until deadline: ContinuousClock.Instant?, ignoringCancellation: Bool
  ) async -> ChildProcess.Exit? {
    let id = state.withLock { state in
      state.nextID += 1
      return state.nextID
    }
    let timer = deadline.map { deadline in
      Reactor.shared.schedule(at: deadline) { self.giveUp(id) }
    }
    defer { if let timer { Reactor.shared.cancel(timer) } }
    return await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let exit = state.withLock { state in
          if state.exit == nil { state.waiters[id] = continuation }
          return state.exit
        }
        if let exit { return continuation.resume(returning: exit) }
        let isLate = deadline.map { $0 <= .now } ?? false
        if isLate || (Task.isCancelled && !ignoringCancellation) { giveUp(id) }
      }
    } onCancel: {
      if !ignoringCancellation { giveUp(id) }
    }
  }

  private func giveUp(_ id: Int) {
    state.withLock { $0.waiters.removeValue(forKey: id) }?.resume(returning: nil)
  }
}
