import Logging
import RPC

/// Millrace's side of the benchmark: answers with the bytes it was sent, once or without end.
/// Its one argument is the address to listen on.
@main
struct EchoServer {
  static func main() async throws {
    guard CommandLine.arguments.count == 2, let address = SocketAddress(CommandLine.arguments[1])
    else {
      throw RPCError(.invalidArgument, "usage: rpc-echo-server HOST:PORT")
    }
    let server = try Server(
      configuration: ServerConfiguration(addresses: [address]),
      methods: [
        .unary("/millrace.benchmark.Echo/Unary") { request, _ in request },
        .serverStreaming("/millrace.benchmark.Echo/Stream") { request, _, responses in
          while true { try await responses.write(request) }
        },
      ],
      logger: Logger(label: "rpc-echo-server"))
    try await server.run()
  }
}
