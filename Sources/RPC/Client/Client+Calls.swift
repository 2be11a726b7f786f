import CGRPC

extension Client {
  /// Calls a method with one request and one response.
  ///
  /// Throws `RPCError` with the call's status, CANCELLED when the task is cancelled.
  public func unary(
    _ path: String, _ request: [UInt8], options: CallOptions = CallOptions()
  ) async throws -> [UInt8] {
    let stream = try serverStreaming(path, request, options: options)
    return try await stream.onlyResponse()
  }

  /// Calls a method with one request and a stream of responses.
  ///
  /// Throws RESOURCE_EXHAUSTED for a request over the size limit, INVALID_ARGUMENT for metadata that
  /// gRPC cannot carry, UNAVAILABLE after `shutDown`, DEADLINE_EXCEEDED for a timeout of nothing; all
  /// else comes out of the stream.
  public func serverStreaming(
    _ path: String, _ request: [UInt8], options: CallOptions = CallOptions()
  ) throws(RPCError) -> ClientStream {
    guard request.count <= configuration.maxSendMessageBytes else {
      throw RPCError(
        .resourceExhausted,
        "a request of \(request.count) bytes is over the limit of "
          + "\(configuration.maxSendMessageBytes) for sending; send less or raise the limit")
    }
    return try open(path, request, options)
  }

  /// Calls a method with a stream of requests; the result takes them and brings the responses.
  ///
  /// Throws INVALID_ARGUMENT for metadata that gRPC cannot carry, UNAVAILABLE after `shutDown`.
  public func bidirectional(
    _ path: String, options: CallOptions = CallOptions()
  ) throws(RPCError) -> ClientStream {
    try open(path, nil, options)
  }

  /// Calls a method with a stream of requests and one response. `send` writes the requests.
  ///
  /// Throws what `unary` throws.
  public func clientStreaming(
    _ path: String, options: CallOptions = CallOptions(),
    send: (ClientStream) async throws -> Void
  ) async throws -> [UInt8] {
    let stream = try bidirectional(path, options: options)
    do {
      try await send(stream)
    } catch is RPCError {
      // The server has ended the call early: its status says why.
    }
    stream.finishWriting()
    return try await stream.onlyResponse()
  }

  private func open(
    _ path: String, _ request: [UInt8]?, _ options: CallOptions
  ) throws(RPCError) -> ClientStream {
    let call = try begin(path, options) { call throws(RPCError) in try call.begin(with: request) }
    return ClientStream(handle: ClientStream.Handle(call: call))
  }
}

extension ClientStream {
  /// The response of a call that has exactly one.
  fileprivate func onlyResponse() async throws -> [UInt8] {
    let iterator = makeAsyncIterator()
    guard let response = try await iterator.next() else {
      throw RPCError(.unimplemented, "the server ended the call well but sent no response")
    }
    guard try await iterator.next() == nil else {
      cancel()
      throw RPCError(.unimplemented, "the server sent more than the one response that was due")
    }
    return response
  }
}
