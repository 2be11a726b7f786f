import CGRPC

/// The state of a client's connection.
public enum ConnectivityState: Sendable, Hashable {
  /// Not connected and not trying; a call or a look with `connecting` changes that.
  case idle
  /// Trying to connect.
  case connecting
  /// Connected.
  case ready
  /// Failed, and waiting to try again.
  case transientFailure
  /// Shut down.
  case shutdown

  init(_ state: cgrpc_channel_state) {
    switch state {
    case CGRPC_CHANNEL_IDLE: self = .idle
    case CGRPC_CHANNEL_CONNECTING: self = .connecting
    case CGRPC_CHANNEL_READY: self = .ready
    case CGRPC_CHANNEL_TRANSIENT_FAILURE: self = .transientFailure
    default: self = .shutdown
    }
  }
}
