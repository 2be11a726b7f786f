import RPC
import Testing

@Suite struct StatusTests {
  private struct Secret: Error, CustomStringConvertible {
    var description: String { "password=hunter2" }
  }

  @Test("the status that a handler throws reaches the client whole", arguments: StatusCode.allCases)
  func roundTrip(code: StatusCode) async throws {
    let thrown = RPCError(
      code, "wörds with 100 % of\nthe bytes", details: [0, 255, 10, 13, 0],
      trailingMetadata: ["reason": "because"])
    let methods: [MethodHandler] = [
      .unary("/t.T/Unary") { _, _ in throw thrown },
      .serverStreaming("/t.T/Stream") { _, _, responses in
        try await responses.write([1])
        throw thrown
      },
    ]
    try await withServer(methods) { (_, client) async throws in
      let unary = try #require(await failure { _ = try await client.unary("/t.T/Unary", []) })
      let stream = try client.serverStreaming("/t.T/Stream", [])
      let responses = stream.makeAsyncIterator()
      #expect(try await responses.next() == [1])
      let streamed = try #require(await failure { _ = try await responses.next() })
      for received in [unary, streamed] {
        #expect(received.code == code)
        #expect(received.message == thrown.message)
        #expect(received.details == thrown.details)
        #expect(received.trailingMetadata["reason"] == "because")
        #expect(received.trailingMetadata[binary: RPCError.detailsKey] == nil)
      }
    }
  }

  @Test("an error of another type becomes INTERNAL and keeps its text to itself")
  func otherErrors() async throws {
    let methods: [MethodHandler] = [.unary("/t.T/Unary") { _, _ in throw Secret() }]
    try await withServer(methods) { (_, client) async throws in
      let received = try #require(await failure { _ = try await client.unary("/t.T/Unary", []) })
      #expect(received.code == .internal)
      #expect(!received.message.contains("hunter2"))
    }
  }

  @Test("a handler that gives up as cancelled ends its call as CANCELLED")
  func cancellationError() async throws {
    let methods: [MethodHandler] = [.unary("/t.T/Unary") { _, _ in throw CancellationError() }]
    try await withServer(methods) { (_, client) async throws in
      #expect(await failureCode { _ = try await client.unary("/t.T/Unary", []) } == .cancelled)
    }
  }

  @Test("a method that is not there is UNIMPLEMENTED", arguments: ["/echo.Echo/Nope", "/a/b", "/"])
  func unknownMethod(path: String) async throws {
    try await withServer(Echo.methods) { (_, client) async throws in
      for _ in 0..<40 {
        #expect(await failureCode { _ = try await client.unary(path, [1]) } == .unimplemented)
      }
      #expect(try await client.unary(Echo.unary, [3]) == [3])
    }
  }

  @Test("a call without its one request is UNIMPLEMENTED")
  func missingRequest() async throws {
    try await withServer(Echo.methods) { (_, client) async throws in
      let stream = try client.bidirectional(Echo.unary)
      stream.finishWriting()
      #expect(await failureCode { _ = try await stream.collect() } == .unimplemented)
    }
  }

  @Test("metadata goes both ways, texts and bytes, and keys may repeat")
  func metadata() async throws {
    let methods: [MethodHandler] = [
      .serverStreaming("/t.T/Mirror") { _, context, responses in
        var initial = Metadata()
        for entry in context.requestMetadata.entries where entry.key.hasPrefix("x-") {
          switch entry.value {
          case .text(let text): initial.append(entry.key, text)
          case .binary(let bytes): initial.append(entry.key, binary: bytes)
          }
        }
        try context.addInitialMetadata(initial)
        try context.addTrailingMetadata(["x-trailer": "end"])
        try await responses.write([1])
        #expect(throws: RPCError.self) { try context.addInitialMetadata(["x-late": "1"]) }
        throw RPCError(.aborted, "so that the trailers show")
      }
    ]
    var sent = Metadata()
    sent.append("X-Text", "hello")
    sent.append("x-twice", "one")
    sent.append("x-twice", "two")
    sent.append("x-raw-bin", binary: (0...255).map { UInt8($0) })
    try await withServer(methods) { (_, client) async throws in
      let stream = try client.serverStreaming(
        "/t.T/Mirror", [], options: CallOptions(metadata: sent))
      let responses = stream.makeAsyncIterator()
      #expect(try await responses.next() == [1])
      let received = stream.initialMetadata
      #expect(received.entries.filter { $0.key.hasPrefix("x-") } == sent.entries)
      let end = try #require(await failure { _ = try await responses.next() })
      #expect(end.trailingMetadata["x-trailer"] == "end")
    }
  }

  @Test(
    "metadata that gRPC cannot carry is refused before anything is sent",
    arguments: [["ümlaut": "x"], ["key": "line\nbreak"], ["with space": "x"], ["raw-bin": "text"]]
      as [Metadata])
  func illegalMetadata(metadata: Metadata) async throws {
    try await withServer(Echo.methods) { (_, client) async throws in
      let options = CallOptions(metadata: metadata)
      let code = await failureCode { _ = try await client.unary(Echo.unary, [], options: options) }
      #expect(code == .invalidArgument)
    }
  }

  @Test("the context tells the method, the peer and the deadline")
  func context() async throws {
    let methods: [MethodHandler] = [
      .unary("/t.T/Look") { _, context in
        #expect(context.method == "/t.T/Look")
        #expect(context.peer.hasPrefix("ipv4:127.0.0.1:"))
        #expect(context.peerCertificateName == nil)
        // The core rounds timeouts up on their way.
        return [context.timeRemaining.map { $0 > .zero && $0 <= .seconds(110) ? 1 : 2 } ?? 0]
      }
    ]
    try await withServer(methods) { (_, client) async throws in
      #expect(try await client.unary("/t.T/Look", []) == [0])
      let options = CallOptions(timeout: .seconds(100))
      #expect(try await client.unary("/t.T/Look", [], options: options) == [1])
    }
  }
}
