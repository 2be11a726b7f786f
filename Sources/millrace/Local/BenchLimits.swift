import Foundation
import Inference
import Tensors

/// What the machine can do at most, measured between runs, since on a virtual machine it changes within
/// seconds.
struct BenchLimits {
  private let meter: LimitMeter
  private let memoryBefore: Int
  private var last: MachineLimits

  /// With an engine's kernels and threads.
  init(_ engine: Engine) throws {
    memoryBefore = PeakMemory.bytes
    meter = try LimitMeter(path: engine.kernelPath, threads: engine.threads)
    last = meter.measure()
  }

  /// Of the time since the last measurement.
  mutating func sinceLast() -> MachineLimits {
    let now = meter.measure()
    defer { last = now }
    return .mean(last, now)
  }

  /// The most memory that the process had so far, without what measuring takes.
  var peakMemoryOfOthers: Int { max(memoryBefore, PeakMemory.bytes - LimitMeter.bufferBytes) }
}

enum PeakMemory {
  /// The most memory that the process had so far.
  static var bytes: Int {
    var usage = rusage()
    getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    return usage.ru_maxrss * 1_024
  }
}
