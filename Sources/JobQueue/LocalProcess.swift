import Foundation

/// A process of this machine, as `/proc/PID/stat` tells of it.
///
/// Source: the manual page proc(5). On systems without `/proc` nothing is known of any process.
package struct LocalProcess: Hashable, Sendable {
  /// When it began, in clock ticks since the machine's start.
  package var start: Int64
  /// Whether it has ended, and only its number is still taken.
  package var isEnded: Bool

  /// - Returns: `nil` when there is no such process, or it cannot be told.
  package init?(_ processID: Int32) {
    guard let text = try? String(contentsOfFile: "/proc/\(processID)/stat", encoding: .utf8) else {
      return nil
    }
    self.init(stat: text)
  }

  /// Reads the line of a process. Its second field is the program's name in parentheses, which may
  /// hold anything; the state is the third field and the start the twenty-second.
  package init?(stat: String) {
    guard let name = stat.lastIndex(of: ")") else { return nil }
    let fields = stat[stat.index(after: name)...].split(whereSeparator: \.isWhitespace)
    guard fields.count > 19, let start = Int64(fields[19]) else { return nil }
    self.start = start
    isEnded = ["Z", "X", "x"].contains(fields[0])
  }

  /// This process.
  package static let current = LocalProcess(ProcessInfo.processInfo.processIdentifier)
}
