/// What one call may ask for.
public struct CallOptions: Sendable {
  /// How long the call may take; it then ends with DEADLINE_EXCEEDED. Forever when nil.
  public var timeout: Duration?
  /// Headers to send.
  public var metadata: Metadata
  /// Whether to wait for a connection, instead of failing with UNAVAILABLE when there is none.
  public var waitsForReady: Bool

  /// Makes options; the defaults ask for nothing.
  public init(
    timeout: Duration? = nil, metadata: Metadata = Metadata(), waitsForReady: Bool = false
  ) {
    self.timeout = timeout
    self.metadata = metadata
    self.waitsForReady = waitsForReady
  }

  var timeoutNanoseconds: Int64 {
    guard let timeout else { return Int64.max }
    let (seconds, attoseconds) = timeout.components
    guard seconds < Int64.max / 2_000_000_000 else { return Int64.max }
    return max(0, seconds * 1_000_000_000 + attoseconds / 1_000_000_000)
  }
}
