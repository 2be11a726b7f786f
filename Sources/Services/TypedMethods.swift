import JobQueue
import Logging
import RPC
import SwiftProtobuf

/// Makes methods out of functions on messages, and errors out of what they throw.
struct TypedMethods {
  let service: String
  let logger: Logger

  /// The longest request, in bytes, of a method that takes no prompts: far above what its fields may
  /// hold. A message in memory can take many times its bytes.
  static let plainRequestBytes = 256 << 10

  func unary<Request: Message, Response: Message>(
    _ name: String, on placement: MethodHandler.Placement = .queueThread,
    maxRequestBytes: Int = plainRequestBytes,
    _ body: @escaping @Sendable (Request, ServerContext) async throws -> Response
  ) -> MethodHandler {
    .unary("/\(service)/\(name)", on: placement) { bytes, context in
      try await answering(name) {
        try await body(try parse(bytes, maxRequestBytes), context).serializedBytes()
      }
    }
  }

  func serverStreaming<Request: Message, Response: Message>(
    _ name: String, on placement: MethodHandler.Placement = .queueThread,
    maxRequestBytes: Int = plainRequestBytes,
    _ body:
      @escaping @Sendable (
        Request, ServerContext, (Response) async throws -> Void
      ) async throws -> Void
  ) -> MethodHandler {
    .serverStreaming("/\(service)/\(name)", on: placement) { bytes, context, writer in
      try await answering(name) {
        try await body(try parse(bytes, maxRequestBytes), context) { response in
          try await writer.write(try response.serializedBytes())
        }
      }
    }
  }

  private func parse<Request: Message>(_ bytes: [UInt8], _ limit: Int) throws -> Request {
    guard bytes.count <= limit else { throw ServiceError.tooLarge(bytes.count, limit: limit) }
    do {
      return try Request(serializedBytes: bytes)
    } catch {
      throw ServiceError.malformed
    }
  }

  /// Gives every error the form that clients see. What they are not told goes to the log.
  private func answering<Answer>(
    _ name: String, _ body: () async throws -> Answer
  ) async throws -> Answer {
    do {
      return try await body()
    } catch let error as JobStoreError {
      // What a client can bring about by itself must not fill the log.
      let level: Logger.Level? =
        switch error.code {
        case .cancelled: nil
        case .exhausted, .invalid: .debug
        case .unavailable, .internal: .warning
        }
      if let level {
        logger.log(
          level: level, "The store failed a call",
          metadata: ["method": "\(name)", "error": "\(error)"])
      }
      throw ServiceError.store(error)
    } catch WatchError.closed {
      throw ServiceError.draining
    }
  }
}
