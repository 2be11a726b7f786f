import CGRPC

/// Named settings for the core, freed at the end of `body`.
struct CoreArguments: ~Copyable {
  let handle: cgrpc_arguments

  init() {
    handle = cgrpc_arguments_create()
  }

  deinit {
    cgrpc_arguments_destroy(handle)
  }

  func set(_ name: String, _ value: Int) {
    cgrpc_arguments_set_integer(handle, name, Int32(clamping: value))
  }

  func set(_ name: String, _ value: Bool) {
    set(name, value ? 1 : 0)
  }

  func set(_ name: String, _ value: Duration) {
    let (seconds, attoseconds) = value.components
    let milliseconds = Double(seconds) * 1000 + Double(attoseconds) / 1e15
    set(name, Int(max(1, min(milliseconds, Double(Int32.max)))))
  }

  /// Bounds the memory of all connections together.
  func setMemoryQuota(bytes: Int) {
    cgrpc_arguments_set_memory_quota(handle, bytes)
  }

  func set(_ name: String, _ value: String) {
    cgrpc_arguments_set_text(handle, name, value)
  }
}

extension CoreArguments {
  /// What servers and clients have in common.
  func set(_ keepalive: Keepalive) {
    set("grpc.keepalive_time_ms", keepalive.interval)
    set("grpc.keepalive_timeout_ms", keepalive.timeout)
    set("grpc.keepalive_permit_without_calls", keepalive.evenWithoutCalls)
    // A long stream may say nothing for hours: pings must not run out.
    set("grpc.http2.max_pings_without_data", 0)
  }

  /// Messages are sent as they are: tokens are short, and compressing them costs more than it saves.
  func setCompressionOff() {
    set("grpc.compression_enabled_algorithms_bitset", 1)
  }
}
