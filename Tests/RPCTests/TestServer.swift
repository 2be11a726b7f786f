import Foundation
import Logging
import RPC
import Synchronization

/// A server on a free port of the loopback, with a client of it, for the length of `body`.
func withServer(
  _ methods: [MethodHandler],
  configure: (inout ServerConfiguration) -> Void = { _ in },
  configureClient: (inout ClientConfiguration) -> Void = { _ in },
  body: (Server, Client) async throws -> Void
) async throws {
  var configuration = ServerConfiguration(
    addresses: [.tcp(host: "127.0.0.1", port: 0)], completionQueues: 2)
  configuration.preregisteredCallsPerQueue = 32
  configuration.drainTimeout = .seconds(5)
  configure(&configuration)
  let server = try Server(configuration: configuration, methods: methods, logger: quietLogger)
  let address = try server.start()[0]
  var clientConfiguration = ClientConfiguration(address: address)
  configureClient(&clientConfiguration)
  let client = try Client(configuration: clientConfiguration)
  do {
    try await body(server, client)
  } catch {
    await client.shutDown()
    await server.shutDownGracefully(within: .zero)
    throw error
  }
  await client.shutDown()
  await server.shutDownGracefully(within: .zero)
}

/// Handlers of tests fail on purpose; their log lines would look like trouble.
let quietLogger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

/// A folder that is gone after `body`.
func withTemporaryFolder(_ body: (URL) async throws -> Void) async throws {
  // Short, since the path of a unix socket may have some hundred bytes only.
  let folder = FileManager.default.temporaryDirectory
    .appending(path: "rpc-\(UInt32.random(in: 0...UInt32.max))")
  try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
  defer { try? FileManager.default.removeItem(at: folder) }
  try await body(folder)
}

/// The error that `body` throws, as the code of an `RPCError`; nil when it throws none.
func failureCode(of body: () async throws -> Void) async -> StatusCode? {
  await failure(of: body)?.code
}

/// The `RPCError` that `body` throws.
func failure(of body: () async throws -> Void) async -> RPCError? {
  do {
    try await body()
    return nil
  } catch let error as RPCError {
    return error
  } catch {
    return RPCError(.unknown, "not an RPCError: \(error)")
  }
}

/// A count that several tasks change.
final class Counter: Sendable {
  private let value = Mutex(0)

  var count: Int { value.withLock { $0 } }

  func add(_ step: Int = 1) {
    value.withLock { $0 += step }
  }
}

/// The ways of a service that answers with what it was sent.
enum Echo {
  static let unary = "/echo.Echo/Unary"
  static let expand = "/echo.Echo/Expand"
  static let collect = "/echo.Echo/Collect"
  static let chat = "/echo.Echo/Chat"

  /// All four shapes: `expand` sends each byte on its own, `collect` joins all messages.
  static let methods: [MethodHandler] = [
    .unary(unary) { request, _ in request },
    .serverStreaming(expand) { request, _, responses in
      for byte in request { try await responses.write([byte]) }
    },
    .clientStreaming(collect) { requests, _ in
      var all: [UInt8] = []
      for try await request in requests { all += request }
      return all
    },
    .bidirectional(chat) { requests, _, responses in
      for try await request in requests { try await responses.write(request) }
    },
  ]
}

extension ClientStream {
  /// All messages until the end.
  func collect() async throws -> [[UInt8]] {
    var all: [[UInt8]] = []
    for try await message in self { all.append(message) }
    return all
  }
}
