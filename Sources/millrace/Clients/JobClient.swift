import Messages
import RPC
import SwiftProtobuf

/// Calls of a service, typed, with errors in words.
struct JobClient {
  let client: Client
  let target: String
  /// The files that TLS depends on, for errors.
  let tlsFiles: String
  /// The flags that reach the same service as the same tenant, for hints; each after a space.
  let flags: String
  let tenant: String?
  let timeout: Duration

  func call<Response: Message>(
    _ method: String, _ request: some Message, as _: Response.Type = Response.self
  ) async throws -> Response {
    do {
      let bytes = try await client.unary(
        "/millrace.v1.\(method)", try request.serializedBytes(), options: options(timeout))
      return try Response(serializedBytes: bytes)
    } catch let error as RPCError {
      throw explained(error)
    }
  }

  /// Follows a stream of events; `deliver` answers whether to go on.
  func events(
    _ method: String, _ request: some Message,
    deliver: (Millrace_V1_JobEvent) async throws -> Void
  ) async throws {
    do {
      let stream = try client.serverStreaming(
        "/millrace.v1.\(method)", try request.serializedBytes(), options: options(nil))
      for try await bytes in stream {
        try await deliver(try Millrace_V1_JobEvent(serializedBytes: bytes))
      }
    } catch let error as RPCError {
      throw explained(error)
    }
  }

  /// Watches a job from a token on, to its end. When the connection breaks or the service
  /// restarts, goes on from the next token. A service that was never reached is an error at once.
  ///
  /// - Parameter again: the command that watches the job, to hint at when this gives up.
  func follow(
    _ id: String, from index: Int64, again: String,
    deliver: (Millrace_V1_JobEvent) async throws -> Void
  ) async throws {
    var request = Millrace_V1_WatchJobRequest()
    request.id = id
    request.fromToken = index
    var failures = 0
    var hasBegun = false
    while true {
      var hasFinished = false
      do {
        try await events("JobService/WatchJob", request) { event in
          failures = 0
          hasBegun = true
          if case .tokens(let tokens) = event.event {
            request.fromToken = tokens.firstIndex + Int64(tokens.tokenIds.count)
          }
          if case .finished = event.event { hasFinished = true }
          try await deliver(event)
        }
        if hasFinished { return }
        throw CommandFailure("the service ended the watch before the job ended")
      } catch let failure as CallFailure where failure.code == .unavailable && hasBegun {
        guard failures < Self.patience else {
          throw CommandFailure(
            "\(failure)\n  The job is kept. Watch on: \(again) --from \(request.fromToken)")
        }
        failures += 1
        Output.remark("The connection to \(target) broke; going on from token \(request.fromToken)")
        try await Task.sleep(for: .seconds(min(failures, 3)))
      }
    }
  }

  /// How often in a row a broken watch is begun again.
  private static let patience = 10

  /// Waits until the service says that it is serving.
  func waitUntilServing(_ limit: Duration) async throws {
    let deadline = ContinuousClock.now + limit
    let request: [UInt8] = try Grpc_Health_V1_HealthCheckRequest().serializedBytes()
    while true {
      let bytes = try? await client.unary(
        "/grpc.health.v1.Health/Check", request, options: CallOptions(timeout: .seconds(5)))
      if let bytes,
        try Grpc_Health_V1_HealthCheckResponse(serializedBytes: bytes).status == .serving
      {
        return
      }
      guard ContinuousClock.now < deadline else {
        throw CommandFailure("the service on \(target) is not ready after \(limit)")
      }
      try await Task.sleep(for: .milliseconds(100))
    }
  }

  private func options(_ timeout: Duration?) -> CallOptions {
    var metadata = Metadata()
    if let tenant { metadata.append("millrace-tenant", tenant) }
    return CallOptions(timeout: timeout, metadata: metadata)
  }

  private func explained(_ error: RPCError) -> CallFailure {
    CallFailure(error, target: target, tlsFiles: tlsFiles)
  }
}
