import Foundation

/// An amount of memory as people write it: `512MiB`, `2GiB`, a plain number of bytes, or `25%` of
/// what the machine has.
struct MemorySize: Hashable {
  /// How many bytes; for a share, of this machine's memory.
  let bytes: Int

  /// How it is written, for errors and help.
  static let form = "a number of bytes, or one with KiB, MiB, GiB, or % of the machine's memory"
  /// The same where shares of the memory make no sense.
  static let plainForm = "a number of bytes, or one with KiB, MiB, GiB or TiB"

  private static let units = [
    ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40),
  ]

  /// Reads it; `nil` for anything else, nothing or too much, and for shares where there is no `memory`
  /// to take them of.
  init?(_ text: String, memory: UInt64? = ProcessInfo.processInfo.physicalMemory) {
    if text.hasSuffix("%") {
      guard let memory, let share = Self.number(text.dropLast()), 1...100 ~= share else {
        return nil
      }
      bytes = Int(memory / 100) * share
      return
    }
    let unit = Self.units.first { text.hasSuffix($0.0) }
    guard let count = Self.number(text.dropLast(unit?.0.count ?? 0)), count > 0 else { return nil }
    let (product, overflow) = count.multipliedReportingOverflow(by: unit?.1 ?? 1)
    guard !overflow else { return nil }
    bytes = product
  }

  private static func number(_ text: Substring) -> Int? {
    let digits = text.allSatisfy { $0.isASCII && $0.isNumber }
    return digits ? Int(text) : nil
  }
}
