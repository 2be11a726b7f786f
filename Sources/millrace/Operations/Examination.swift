import Foundation
import JobStorePostgres
import Messages
import Postgres
import RPC
import SwiftProtobuf
import Tensors

/// The findings about one machine, each with what to do about it.
struct Examination {
  enum Verdict: String, Encodable {
    case good, warning, bad

    var mark: String {
      switch self {
      case .good: "ok"
      case .warning: "!!"
      case .bad: "XX"
      }
    }
  }

  struct Finding: Encodable {
    var verdict: Verdict
    var subject: String
    var detail: String
  }

  private(set) var findings: [Finding] = []

  private mutating func note(_ verdict: Verdict, _ subject: String, _ detail: String) {
    findings.append(Finding(verdict: verdict, subject: subject, detail: detail))
  }

  mutating func checkProcessor() {
    let cores = ProcessInfo.processInfo.activeProcessorCount
    let paths = KernelPath.allCases.filter { $0 != .auto && $0.isSupported }.map(\.rawValue)
    if paths.contains("avx2") || paths.contains("avx512") {
      note(.good, "processor", "\(cores) cores; kernels \(paths.joined(separator: ", "))")
    } else {
      note(
        .warning, "processor",
        "\(cores) cores without AVX2: models run on the scalar kernels, slowly but exactly")
    }
  }

  mutating func checkMemory() {
    let text = (try? String(contentsOfFile: "/proc/meminfo", encoding: .utf8)) ?? ""
    let line = text.split(separator: "\n").first { $0.hasPrefix("MemAvailable:") }
    let kibibytes = line?.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0
    let detail = "\(kibibytes >> 10) MiB available; a model takes about its file's size"
    note(kibibytes > 1 << 20 ? .good : .warning, "memory", detail)
  }

  mutating func checkDisk(of folder: String) {
    var existing = URL(fileURLWithPath: folder)
    while !FileManager.default.fileExists(atPath: existing.path), existing.path != "/" {
      existing.deleteLastPathComponent()
    }
    guard access(existing.path, W_OK) == 0 else {
      note(.bad, "disk", "\(existing.path) cannot be written; choose another --data-dir")
      return
    }
    var space = statvfs()
    guard statvfs(existing.path, &space) == 0 else {
      note(.warning, "disk", "the space at \(existing.path) cannot be told")
      return
    }
    let mebibytes = (Int(space.f_bavail) * Int(space.f_frsize)) >> 20
    let verdict: Verdict = mebibytes > 2_048 ? .good : mebibytes > 256 ? .warning : .bad
    note(
      verdict, "disk",
      "\(mebibytes) MiB free at \(existing.path)"
        + (verdict == .good ? "" : "; the database wants 2048 MiB or more: free some"))
  }

  mutating func checkListening(on text: String) async {
    guard let address = SocketAddress(text) else {
      note(.bad, "address", "\(text) is neither HOST:PORT nor unix:PATH")
      return
    }
    do {
      let server = try Server(
        configuration: ServerConfiguration(addresses: [address], completionQueues: 1),
        methods: [], logger: commandLogger())
      try server.start()
      await server.shutDownGracefully(within: .zero)
      note(.good, "address", "\(text) is free; the gRPC library works")
    } catch {
      if await isServing(at: address) {
        note(.good, "address", "a Millrace service is serving on \(text)")
        return
      }
      note(
        .bad, "address",
        "cannot listen on \(text): is another program there, or a service with TLS? Choose another "
          + "with --listen")
    }
  }

  /// Whether what listens there says that it is a service of jobs, in good health or not.
  private func isServing(at address: SocketAddress) async -> Bool {
    var request = Grpc_Health_V1_HealthCheckRequest()
    request.service = "millrace.v1.JobService"
    guard let bytes: [UInt8] = try? request.serializedBytes(),
      let client = try? Client(configuration: ClientConfiguration(address: address))
    else { return false }
    let answer = try? await client.unary(
      "/grpc.health.v1.Health/Check", bytes, options: CallOptions(timeout: .seconds(1)))
    await client.shutDown()
    return answer != nil
  }

  mutating func checkDatabase(_ settings: DatabaseSettings) async {
    let name = settings.url.map(PasswordMask.masked) ?? "private, in \(settings.privateFolder)"
    let logger = commandLogger()
    do {
      if settings.url == nil {
        guard try checkPrivateServer(settings.privateServer(logger: logger)) else {
          note(.good, "database", "\(name); made at the first `serve`")
          return
        }
      }
      let (version, pending) = try await settings.withConnection(
        logger: logger, joinsRunning: true
      ) { connection in
        try await PostgresJobStore.checkServer(connection)
        return (
          await connection.serverVersion,
          try await Migrator(logger: logger).status(on: connection).pending.count
        )
      }
      let answer = "\(name): answers; version \(version / 10_000)"
      if pending == 0 {
        note(.good, "database", "\(answer), schema up to date")
      } else {
        note(
          .warning, "database",
          "\(answer), \(pending) migrations pending: `serve` or `millrace migrate` applies them")
      }
    } catch {
      note(.bad, "database", "\(name): \(CommandFailure(error).description)")
    }
  }

  /// Whether the server is set up already; throws where its user cannot reach its folder.
  private mutating func checkPrivateServer(_ server: PrivateServer) throws -> Bool {
    do {
      note(.good, "PostgreSQL", "version \(try PrivateServer.installedVersion()) is installed")
    } catch {
      note(.bad, "PostgreSQL", CommandFailure(error).description)
    }
    try server.checkReachable()
    return server.isSetUp
  }
}
