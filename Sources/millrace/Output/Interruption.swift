import Foundation

/// Ends the program on Ctrl-C with the exit status that shells expect, and leaves a clean terminal.
struct Interruption {
  private let source: any DispatchSourceSignal

  /// - Parameters:
  ///   - message: a remark, made wherever standard error goes.
  ///   - tidying: what to write first if standard error is a terminal.
  init(message: String? = nil, tidying: String = "\n") {
    signal(SIGINT, SIG_IGN)
    source = DispatchSource.makeSignalSource(signal: SIGINT)
    source.setEventHandler {
      if Output.isTerminal { Output.aside(tidying) }
      if let message { Output.remark(message) }
      // Not `exit`: other threads are in the middle of their work.
      _exit(128 + SIGINT)
    }
    source.resume()
  }

  func cancel() {
    source.cancel()
    signal(SIGINT, SIG_DFL)
  }
}
