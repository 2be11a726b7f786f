import Foundation

/// Memory for `count` elements, aligned to 64 bytes, and given back when the last owner goes.
///
/// Not `Sendable`: the owner sees to it that threads write different parts.
package final class AlignedBuffer<Element: BitwiseCopyable> {
  /// The first element.
  package let base: UnsafeMutablePointer<Element>
  /// Elements.
  package let count: Int

  private static var largePage: Int { 2 << 20 }

  /// Allocates; throws `outOfMemory`, or `invalidShape` for a negative or overflowing count.
  ///
  /// Memory that is not zeroed costs nothing until it is written to.
  /// With `largePages` it comes in pages of 2 MiB where the system gives them: an address in one is
  /// found without walking the page table for each 4 KiB, but a byte written costs all of the page.
  package init(
    count: Int, zeroed: Bool = true, largePages: Bool = false
  ) throws(TensorError) {
    let (bytes, overflow) = max(count, 1).multipliedReportingOverflow(
      by: MemoryLayout<Element>.stride)
    guard count >= 0, !overflow, bytes <= Int.max - 64 else {
      throw TensorError(
        code: .invalidShape, message: "A buffer of \(count) elements is not possible.")
    }
    var raw: UnsafeMutableRawPointer?
    let isLarge = largePages && bytes >= Self.largePage
    guard posix_memalign(&raw, isLarge ? Self.largePage : 64, bytes) == 0, let raw else {
      throw TensorError(
        code: .outOfMemory,
        message: "No memory for \(bytes) bytes; use a smaller model, context or batch.")
    }
    if isLarge { madvise(raw, bytes, Int32(MADV_HUGEPAGE)) }
    if zeroed { memset(raw, 0, bytes) }
    base = raw.bindMemory(to: Element.self, capacity: max(count, 1))
    self.count = count
  }

  deinit { free(base) }
}
