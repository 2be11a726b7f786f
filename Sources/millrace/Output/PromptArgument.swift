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
    guard let text = String(data: data, encoding: .utf8) else {
      throw CommandFailure("standard input is not UTF-8 text; convert it first")
    }
    return text
  }
}
