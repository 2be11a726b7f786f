import ArgumentParser
import Foundation
import Logging

struct Serve: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Serve models: take jobs over gRPC, keep them in PostgreSQL, run them.",
    discussion: """
      Without --database-url, a private PostgreSQL runs in the data folder. Every setting can also \
      come from the environment (MILLRACE_DATA_DIR, …) or from millrace.yaml (data-dir: …).

      Ready when gRPC health answers SERVING. SIGTERM and Ctrl-C end it cleanly: running jobs go \
      back to the queue with their tokens kept.

      Example: millrace serve --model story=model.gguf --listen 127.0.0.1:50051
      """)

  @OptionGroup var flags: ServeFlags

  @Flag(help: "Print the settings in force and where each came from, and exit.")
  var printConfig = false

  @Flag(help: "With --print-config: as JSON.")
  var json = false

  func run() async throws {
    let settings = try ServeSettings(flags, environment: ProcessInfo.processInfo.environment)
    if printConfig {
      try print(settings)
      return
    }
    LoggingSystem.bootstrap { label in
      var handler = StreamLogHandler.standardError(label: label)
      handler.logLevel = settings.logLevel
      return handler
    }
    do {
      try await Assembly(settings).runUntilSignal()
    } catch {
      throw CommandFailure(error)
    }
  }

  private func print(_ settings: ServeSettings) throws {
    if json {
      let pairs = settings.entries.map {
        ($0.key, ["value": $0.value, "origin": $0.origin.rawValue])
      }
      try Output.json(Dictionary(pairs) { first, _ in first })
      return
    }
    var table = Table("SETTING", "FROM", "VALUE")
    for entry in settings.entries { table.add(entry.key, entry.origin.rawValue, entry.value) }
    Output.line(table.text)
  }
}
