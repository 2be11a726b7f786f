import CGRPC

/// How a server proves who it is, and whether clients must.
public struct ServerCredentials: Sendable {
  enum Kind {
    case insecure
    case tls(certificateChain: String, privateKey: String, clientRoots: String?)
  }

  let kind: Kind

  /// Plain TCP: for loopback, unix sockets and behind a proxy that secures connections.
  public static let insecure = ServerCredentials(kind: .insecure)

  /// TLS with this certificate chain and private key, in PEM.
  public static func tls(certificateChain: [UInt8], privateKey: [UInt8]) -> ServerCredentials {
    ServerCredentials(
      kind: .tls(
        certificateChain: String(decoding: certificateChain, as: UTF8.self),
        privateKey: String(decoding: privateKey, as: UTF8.self), clientRoots: nil))
  }

  /// TLS in which every client must show a certificate that `clientRoots` vouch for, all in PEM.
  public static func mutualTLS(
    certificateChain: [UInt8], privateKey: [UInt8], clientRoots: [UInt8]
  ) -> ServerCredentials {
    ServerCredentials(
      kind: .tls(
        certificateChain: String(decoding: certificateChain, as: UTF8.self),
        privateKey: String(decoding: privateKey, as: UTF8.self),
        clientRoots: String(decoding: clientRoots, as: UTF8.self)))
  }

  /// The core's credentials; the caller destroys them.
  func make() throws(RPCError) -> cgrpc_server_credentials {
    switch kind {
    case .insecure: return cgrpc_server_credentials_insecure()
    case .tls(let chain, let key, let roots):
      try PEM.check(chain, holds: "CERTIFICATE", what: "the server's certificate chain")
      try PEM.check(key, holds: "PRIVATE KEY", what: "the server's private key")
      if let roots {
        try PEM.check(roots, holds: "CERTIFICATE", what: "the roots for client certificates")
      }
      return cgrpc_server_credentials_tls(chain, key, roots)
    }
  }
}
