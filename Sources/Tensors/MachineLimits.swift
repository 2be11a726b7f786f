import CKernels
import Foundation

/// What a machine can do at most with some threads: the limits that speed is held against.
package struct MachineLimits: Sendable, Hashable {
  /// Bytes of memory that all threads together read in a second.
  package let bytesPerSecond: Double
  /// Products of int8 that all threads together add up in a second.
  package let multiplyAddsPerSecond: Double

  /// What lay between two measurements.
  package static func mean(_ one: MachineLimits, _ other: MachineLimits) -> MachineLimits {
    MachineLimits(
      bytesPerSecond: (one.bytesPerSecond + other.bytesPerSecond) / 2,
      multiplyAddsPerSecond: (one.multiplyAddsPerSecond + other.multiplyAddsPerSecond) / 2)
  }
}

/// Measures a machine's limits, as often as wanted: on a virtual machine they change within seconds.
package final class LimitMeter {
  /// More than any cache holds.
  package static let bufferBytes = 1 << 29
  private static let rounds = 1 << 21
  private static let runs = 3

  private let kernel: mk_path
  private let pool: ThreadPool
  private let buffer: AlignedBuffer<UInt64>
  /// Words that each thread reads.
  private let part: Int

  /// For the kernels of a path. Throws `outOfMemory`, or `unsupportedPath`.
  package init(path: KernelPath, threads: Int) throws(TensorError) {
    kernel = try Compute(path: path).path.kernel
    pool = try ThreadPool(threads: threads)
    buffer = try AlignedBuffer<UInt64>(count: Self.bufferBytes / 8, zeroed: false)
    // Pages that were never written are all the same one.
    part = buffer.count / pool.threads / 32 * 32
    let (base, part) = (buffer.base, part)
    pool.run(count: pool.threads) { _, range in
      for thread in range { (base + thread * part).update(repeating: UInt64(thread), count: part) }
    }
  }

  /// With vectors it takes about a tenth of a second.
  package func measure() -> MachineLimits {
    let (base, part, kernel) = (buffer.base, part, kernel)
    let read = fastest {
      pool.run(count: pool.threads) { _, range in
        for thread in range { _ = mk_probe_read(kernel, base + thread * part, part * 8) }
      }
    }
    let multiplied = fastest {
      pool.run(count: pool.threads) { _, range in
        for _ in range { _ = mk_probe_multiply(kernel, Self.rounds) }
      }
    }
    return MachineLimits(
      bytesPerSecond: Double(part * 8 * pool.threads) / read,
      multiplyAddsPerSecond: Double(Self.rounds * Int(MK_PROBE_MACS) * pool.threads) / multiplied)
  }

  /// Seconds of the fastest of some runs: a limit is what can be had when nothing disturbs.
  private func fastest(_ body: () -> Void) -> Double {
    let clock = ContinuousClock()
    return (0..<Self.runs).map { _ in clock.measure(body) / .seconds(1) }.min() ?? .infinity
  }
}
