import CGRPC

/// How a client checks who the server is, and proves who it is itself.
public struct ClientCredentials: Sendable {
  enum Kind {
    case insecure
    case tls(roots: String?, certificateChain: String?, privateKey: String?)
  }

  let kind: Kind

  /// Plain TCP or a unix socket.
  public static let insecure = ClientCredentials(kind: .insecure)

  /// TLS to a server whose certificate `roots` (PEM) vouch for; the system's roots when nil.
  public static func tls(roots: [UInt8]? = nil) -> ClientCredentials {
    ClientCredentials(
      kind: .tls(
        roots: roots.map { String(decoding: $0, as: UTF8.self) }, certificateChain: nil,
        privateKey: nil))
  }

  /// TLS in which this client shows a certificate of its own, all in PEM.
  public static func mutualTLS(
    roots: [UInt8]? = nil, certificateChain: [UInt8], privateKey: [UInt8]
  ) -> ClientCredentials {
    ClientCredentials(
      kind: .tls(
        roots: roots.map { String(decoding: $0, as: UTF8.self) },
        certificateChain: String(decoding: certificateChain, as: UTF8.self),
        privateKey: String(decoding: privateKey, as: UTF8.self)))
  }

  /// The core's credentials; the caller destroys them.
  func make() throws(RPCError) -> cgrpc_channel_credentials {
    guard case .tls(let roots, let chain, let key) = kind else {
      return cgrpc_channel_credentials_insecure()
    }
    if let roots { try PEM.check(roots, holds: "CERTIFICATE", what: "the roots for the server") }
    if let chain {
      try PEM.check(chain, holds: "CERTIFICATE", what: "the client's certificate chain")
    }
    if let key { try PEM.check(key, holds: "PRIVATE KEY", what: "the client's private key") }
    let credentials = cgrpc_channel_credentials_tls(roots, chain, key)
    guard credentials.core != nil else {
      throw RPCError(.invalidArgument, "the certificates for TLS cannot be used; check the files")
    }
    return credentials
  }
}
