import Foundation

/// Writes to the terminal.
enum Output {
  /// A line for people or programs, on standard output.
  static func line(_ text: String) {
    write(text + "\n", to: .standardOutput)
  }

  /// Text without a line's end, shown at once.
  static func text(_ text: String) {
    write(text, to: .standardOutput)
  }

  /// A remark beside the output, on standard error.
  static func remark(_ text: String) {
    write(text + "\n", to: .standardError)
  }

  /// A value as JSON on one line, keys in a fixed order.
  static func json(_ value: some Encodable) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    line(String(decoding: try encoder.encode(value), as: UTF8.self))
  }

  /// Whether a person is looking at standard error.
  static var isTerminal: Bool { isatty(STDERR_FILENO) == 1 }

  private static func write(_ text: String, to handle: FileHandle) {
    // A reader that went away (`| head`) ends the program by SIGPIPE before an error comes here.
    try? handle.write(contentsOf: Data(text.utf8))
  }
}
