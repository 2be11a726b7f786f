import CGRPC
import Logging

/// The gRPC core of this process. It starts with the first server or client and then stays: the core's
/// own shutdown races with a start that follows it at once.
enum CoreRuntime {
  static let log = Logger(label: "millrace.rpc.core")

  private static let started: Void = {
    cgrpc_runtime_start(
      { severity, _, _, message in
        guard let message else { return }
        let text = String(cString: message)
        switch severity {
        case 0: CoreRuntime.log.trace("\(text)")
        case 1: CoreRuntime.log.debug("\(text)")
        default: CoreRuntime.log.warning("\(text)")
        }
      }, 2)
  }()

  static func start() {
    _ = started
  }
}
