import CGRPC
import Logging

/// A place in which one call after another arrives: hundreds of them wait on each queue, since a core
/// that finds none has to take a slow path.
final class RequestSlot: EventTarget, @unchecked Sendable {
  private let request = cgrpc_request_create()
  private let server: Server
  private let handle: cgrpc_server
  private let queue: CompletionQueue
  /// Nil in the slots for methods that the server does not have.
  private let method: RegisteredMethod?

  init(server: Server, handle: cgrpc_server, queue: CompletionQueue, method: RegisteredMethod?) {
    self.server = server
    self.handle = handle
    self.queue = queue
    self.method = method
  }

  deinit {
    cgrpc_request_destroy(request)
  }

  /// Asks the core for a call.
  func ask() {
    let tag = Tag.retaining(self, .arrived)
    let asked =
      if let method {
        cgrpc_server_request_method(handle, method.handle, request, queue.handle, tag)
      } else {
        cgrpc_server_request_unregistered(handle, request, queue.handle, tag)
      }
    if asked { return }
    _ = Tag.take(tag)
    server.logger.critical(
      "the gRPC core refused to wait for a call",
      metadata: ["method": "\(method?.handler.path ?? "unknown methods")"])
  }

  override func handle(_ purpose: Purpose, succeeded: Bool) {
    // Without success the server is stopping, and the slot goes.
    guard succeeded else { return }
    let native = NativeCall(handle: cgrpc_request_take_call(request))
    let call = ServerCall(native: native, method: method?.handler.path ?? "", server: server)
    let share = CallLoad.Share(
      isUrgent: method?.handler.isUrgent ?? false,
      requestBytes: cgrpc_message_length(native.handle))
    switch server.admit(share) {
    case .stopped:
      native.destroy()
      return
    case .refused(let refusal):
      ask()
      call.reject(RPCError(.resourceExhausted, reason(refusal)))
    case .admitted:
      ask()
      call.hold(share)
      guard let method else {
        call.reject(RPCError(.unimplemented, "this server does not have the method"))
        return
      }
      call.run(method.handler, on: queue)
    }
  }

  private func reason(_ refusal: CallLoad.Refusal) -> String {
    switch refusal {
    case .calls:
      "the server handles \(server.configuration.maxConcurrentCalls) calls, which is its limit; "
        + "try again later"
    case .requestBytes:
      "the server's calls hold \(server.configuration.maxRequestBytes) bytes of requests, which is "
        + "its limit; try again later, or send less at once"
    }
  }
}

/// A method under the core's name for it.
struct RegisteredMethod: Sendable {
  let handler: MethodHandler
  let handle: cgrpc_method
}
