import Foundation

/// Writes to the terminal.
enum Output {
  /// A line for people or programs, on standard output.
  static func line(_ text: String) {
    self.text(text + "\n")
  }

  /// Text without a line's end, shown at once.
  ///
  /// Output that cannot be written ends the program, so that it never seems to have succeeded: in
  /// silence when the reader went away (`| head`), else with the reason.
  static func text(_ text: String) {
    let problem = write(text, to: STDOUT_FILENO)
    guard problem != 0 else { return }
    if problem == EPIPE { _exit(128 + SIGPIPE) }
    remark("Error: standard output cannot be written: \(String(cString: strerror(problem)))")
    _exit(EXIT_FAILURE)
  }

  /// A remark beside the output, on standard error.
  static func remark(_ text: String) {
    aside(text + "\n")
  }

  /// Text beside the output, without a line's end.
  static func aside(_ text: String) {
    // There is nobody left to tell when standard error is gone.
    _ = write(text, to: STDERR_FILENO)
  }

  /// A value as JSON on one line, keys in a fixed order and in snake case.
  static func json(_ value: some Encodable) throws {
    line(try jsonText(value))
  }

  /// The same as text.
  static func jsonText(_ value: some Encodable) throws -> String {
    let encoder = JSONEncoder()
    // Names of properties; the keys of dictionaries stay as they are.
    encoder.keyEncodingStrategy = .convertToSnakeCase
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    return String(decoding: try encoder.encode(value), as: UTF8.self)
  }

  /// Whether a person is looking at standard error.
  static var isTerminal: Bool { isatty(STDERR_FILENO) == 1 }

  /// Writes all of it. Returns the `errno` of what went wrong, or 0.
  private static func write(_ text: String, to descriptor: Int32) -> Int32 {
    var text = text
    return text.withUTF8 { bytes in
      var rest = UnsafeRawBufferPointer(bytes)
      while !rest.isEmpty {
        let count = Foundation.write(descriptor, rest.baseAddress, rest.count)
        if count >= 0 {
          rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(count))
        } else if errno == EAGAIN {
          // Somebody made the terminal non-blocking.
          var ready = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
          poll(&ready, 1, -1)
        } else if errno != EINTR {
          return errno
        }
      }
      return 0
    }
  }
}
