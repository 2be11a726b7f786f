import CKernels
import Foundation

/// What a machine can do at most with some threads, measured: the limits that speed is held against.
package struct MachineLimits: Sendable, Hashable {
  /// Bytes of memory that all threads together read in a second.
  package let bytesPerSecond: Double
  /// Products of int8 that all threads together add up in a second.
  package let multiplyAddsPerSecond: Double

  /// More than any cache holds.
  private static let bufferBytes = 1 << 29
  private static let rounds = 1 << 21
  private static let runs = 7

  /// Measures with the kernels of a path; takes about a second. Throws `outOfMemory`, or
  /// `unsupportedPath`.
  package static func measure(
    path: KernelPath, threads: Int
  ) throws(TensorError) -> MachineLimits {
    let kernel = try Compute(path: path).path.kernel
    let pool = try ThreadPool(threads: threads)
    let buffer = try AlignedBuffer<UInt64>(count: bufferBytes / 8, zeroed: false)
    // Pages that were never written are all the same one.
    let part = buffer.count / pool.threads / 32 * 32
    let base = buffer.base
    pool.run(count: pool.threads) { _, range in
      for thread in range { (base + thread * part).update(repeating: UInt64(thread), count: part) }
    }
    let read = fastest {
      pool.run(count: pool.threads) { _, range in
        for thread in range { _ = mk_probe_read(kernel, base + thread * part, part * 8) }
      }
    }
    let multiplied = fastest {
      pool.run(count: pool.threads) { _, range in
        for _ in range { _ = mk_probe_multiply(kernel, rounds) }
      }
    }
    return MachineLimits(
      bytesPerSecond: Double(part * 8 * pool.threads) / read,
      multiplyAddsPerSecond: Double(rounds * Int(MK_PROBE_MACS) * pool.threads) / multiplied)
  }

  /// Seconds of the fastest of some runs: a limit is what can be had when nothing disturbs.
  private static func fastest(_ body: () -> Void) -> Double {
    let clock = ContinuousClock()
    return (0..<runs).map { _ in clock.measure(body) / .seconds(1) }.min() ?? .infinity
  }
}
