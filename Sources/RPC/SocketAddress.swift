/// Where a server listens or a client connects.
public enum SocketAddress: Sendable, Hashable {
  /// A host name or a numeric address, and a port; to listen on port 0 is to take any free one.
  case tcp(host: String, port: Int)
  /// A socket in the file system.
  case unix(path: String)

  /// Reads `HOST:PORT`, `[IPV6]:PORT` or `unix:PATH`; nil when it is none of them.
  public init?(_ text: String) {
    if text.hasPrefix("unix:") {
      let path = String(text.dropFirst("unix:".count))
      guard !path.isEmpty else { return nil }
      self = .unix(path: path)
      return
    }
    guard let colon = text.lastIndex(of: ":"),
      let port = Int(text[text.index(after: colon)...]), (0...65535).contains(port)
    else { return nil }
    var host = String(text[..<colon])
    if host.hasPrefix("["), host.hasSuffix("]") { host = String(host.dropFirst().dropLast()) }
    guard !host.isEmpty, !host.contains(where: { "[]/ ".contains($0) }) else { return nil }
    self = .tcp(host: host, port: port)
  }
}

extension SocketAddress: CustomStringConvertible {
  /// The address in the form that `init(_:)` reads.
  public var description: String {
    switch self {
    case .tcp(let host, let port): host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
    case .unix(let path): "unix:\(path)"
    }
  }
}
