import Foundation

/// A prompt as it is given on the command line.
enum PromptArgument {
  /// The argument itself, or for `-` all of standard input.
  static func text(_ argument: String) throws(CommandFailure) -> String {
    guard argument == "-" else { return argument }
    if isatty(STDIN_FILENO) == 1 {
      Output.remark("Reading the text from the terminal; Ctrl-D on an empty line ends it")
    }
    let data: Data
    do {
      data = try FileHandle.standardInput.readToEnd() ?? Data()
    } catch {
      throw CommandFailure("standard input cannot be read; give a file or a pipe with text")
    }
    return try decoded(data, name: "standard input")
  }

  /// The text of a file that a flag names; `-` is standard input.
  static func file(_ path: String, _ flag: String) throws(CommandFailure) -> String {
    guard path != "-" else { return try text(path) }
    return try decoded(Data(try readFile(path, flag)), name: "\(flag) \(path)")
  }

  private static func decoded(_ data: Data, name: String) throws(CommandFailure) -> String {
    guard let text = String(data: data, encoding: .utf8) else {
      throw CommandFailure("\(name) is not UTF-8 text; convert it first")
    }
    return text
  }
}
