import ArgumentParser

struct Doctor: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Check this machine: CPU, memory, libraries, database, disk, port.",
    discussion: """
      Looks at the same settings as `serve`: flags, environment, millrace.yaml. Exits with status 1 \
      if something would keep `serve` from working.

      Example: millrace doctor --listen 127.0.0.1:50051
      """)

  @OptionGroup var database: DatabaseFlags

  @Option(help: "Where `serve` is to listen. May be repeated. [as `serve`: 127.0.0.1:50051]")
  var listen: [String] = []

  @Flag(help: "Print JSON.")
  var json = false

  func run() async throws {
    var examination = Examination()
    examination.checkProcessor()
    examination.checkMemory()
    var source = try database.source()
    let settings = try database.settings(&source)
    examination.checkDisk(of: settings.folder)
    for address in source.list("listen", flags: listen, default: ["127.0.0.1:50051"]) {
      await examination.checkListening(on: address)
    }
    await examination.checkDatabase(settings)
    if json {
      try Output.json(examination.findings)
    } else {
      var table = Table("", "WHAT", "FOUND")
      for finding in examination.findings {
        table.add(finding.verdict.mark, finding.subject, finding.detail)
      }
      Output.line(table.text)
    }
    if examination.findings.contains(where: { $0.verdict == .bad }) { throw ExitCode.failure }
  }
}
