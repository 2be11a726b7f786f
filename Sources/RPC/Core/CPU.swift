import Foundation

/// The processor that this process runs on.
enum CPU {
  /// Cores that this process may use.
  static var count: Int { max(1, ProcessInfo.processInfo.activeProcessorCount) }
}
