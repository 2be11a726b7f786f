import Foundation
import RPC
import Testing

@Suite struct TLSTests {
  @Test("TLS carries calls, and a client that does not know the root refuses")
  func tls() async throws {
    try await withCertificates { certificates in
      try await withServer(
        Echo.methods,
        configure: {
          $0.credentials = .tls(
            certificateChain: certificates.server.chain, privateKey: certificates.server.key)
        },
        configureClient: { $0.credentials = .tls(roots: certificates.root) }
      ) { (server, client) async throws in
        #expect(try await client.unary(Echo.unary, [1, 2]) == [1, 2])
        #expect(try await client.serverStreaming(Echo.expand, [1, 2]).collect() == [[1], [2]])
        let target = client.configuration.target
        for credentials in [ClientCredentials.tls(roots: certificates.strangerRoot), .insecure] {
          var configuration = ClientConfiguration(target: target)
          configuration.credentials = credentials
          let stranger = try Client(configuration: configuration)
          #expect(
            await failureCode { _ = try await stranger.unary(Echo.unary, [1]) } == .unavailable)
          await stranger.shutDown()
        }
      }
    }
  }

  @Test("mutual TLS tells the handler who calls, and turns away who cannot say")
  func mutualTLS() async throws {
    let methods: [MethodHandler] = [
      .unary("/t.T/Who") { _, context in Array((context.peerCertificateName ?? "").utf8) }
    ]
    try await withCertificates { certificates in
      try await withServer(
        methods,
        configure: {
          $0.credentials = .mutualTLS(
            certificateChain: certificates.server.chain, privateKey: certificates.server.key,
            clientRoots: certificates.root)
        },
        configureClient: {
          $0.credentials = .mutualTLS(
            roots: certificates.root, certificateChain: certificates.client.chain,
            privateKey: certificates.client.key)
        }
      ) { (_, client) async throws in
        #expect(try await client.unary("/t.T/Who", []) == Array("tenant-one".utf8))
        var configuration = ClientConfiguration(target: client.configuration.target)
        configuration.credentials = .tls(roots: certificates.root)
        let nameless = try Client(configuration: configuration)
        #expect(await failureCode { _ = try await nameless.unary("/t.T/Who", []) } == .unavailable)
        await nameless.shutDown()
      }
    }
  }

  @Test("certificates that are none are refused before anything starts")
  func badCertificates() async throws {
    var configuration = ServerConfiguration(addresses: [.tcp(host: "127.0.0.1", port: 0)])
    configuration.credentials = .tls(certificateChain: [1, 2, 3], privateKey: [])
    let server = try Server(configuration: configuration, methods: [], logger: quietLogger)
    #expect(await failureCode { try server.start() } == .invalidArgument)
    try await withCertificates { certificates in
      // Each is good, but they do not belong together; the address is free.
      configuration.credentials = .tls(
        certificateChain: certificates.server.chain, privateKey: certificates.client.key)
      let mixed = try Server(configuration: configuration, methods: [], logger: quietLogger)
      let error = try #require(await failure { try mixed.start() })
      #expect(error.code == .invalidArgument && error.message.contains("fit each other"))
    }
    var client = ClientConfiguration(target: "127.0.0.1:1")
    client.credentials = .tls(roots: Array("nothing".utf8))
    #expect(await failureCode { _ = try Client(configuration: client) } == .invalidArgument)
  }
}

private struct Certificates {
  struct Pair {
    let chain: [UInt8]
    let key: [UInt8]
  }

  let root: [UInt8]
  let strangerRoot: [UInt8]
  let server: Pair
  let client: Pair
}

/// Makes a root, a stranger's root, and certificates for a server and a client, with `openssl`.
private func withCertificates(_ body: (Certificates) async throws -> Void) async throws {
  try await withTemporaryFolder { folder in
    func openssl(_ arguments: String...) throws {
      let process = Process()
      process.executableURL = URL(filePath: "/usr/bin/env")
      process.arguments = ["openssl"] + arguments
      process.currentDirectoryURL = folder
      process.standardOutput = FileHandle.nullDevice
      process.standardError = FileHandle.nullDevice
      try process.run()
      process.waitUntilExit()
      try #require(process.terminationStatus == 0, "openssl \(arguments.first ?? "")")
    }
    func read(_ name: String) throws -> [UInt8] {
      Array(try Data(contentsOf: folder.appending(path: name)))
    }
    func makeRoot(_ name: String) throws {
      try openssl(
        "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
        "-days", "2", "-subj", "/CN=\(name)", "-keyout", "\(name).key", "-out", "\(name).pem")
    }
    func makePair(_ name: String) throws -> Certificates.Pair {
      try openssl(
        "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
        "-subj", "/CN=\(name)", "-keyout", "\(name).key", "-out", "\(name).csr")
      try Data("subjectAltName=IP:127.0.0.1,DNS:localhost\n".utf8)
        .write(to: folder.appending(path: "san"))
      try openssl(
        "x509", "-req", "-in", "\(name).csr", "-CA", "root.pem", "-CAkey", "root.key",
        "-CAcreateserial", "-days", "2", "-extfile", "san", "-out", "\(name).pem")
      return Certificates.Pair(chain: try read("\(name).pem"), key: try read("\(name).key"))
    }
    try makeRoot("root")
    try makeRoot("stranger")
    try await body(
      Certificates(
        root: try read("root.pem"), strangerRoot: try read("stranger.pem"),
        server: try makePair("server"), client: try makePair("tenant-one")))
  }
}
