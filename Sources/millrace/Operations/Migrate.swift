import ArgumentParser
import JobStorePostgres
import Postgres

struct Migrate: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Bring a database's schema up to date.",
    discussion: """
      `serve` does this by itself at its start. Migrations only go forward, and each is safe on a \
      database in use.

      Example: millrace migrate --database-url postgresql://localhost/jobs
      """)

  @OptionGroup var database: DatabaseFlags

  @Flag(help: "Only show what is applied and what is pending.")
  var status = false

  @Flag(help: "Print JSON.")
  var json = false

  /// What `--json` prints.
  private struct Report: Encodable {
    struct Step: Encodable {
      var number: Int32
      var name: String
      var checksum: String

      init(number: Int32, name: String, checksum: String) {
        self.number = number
        self.name = name
        self.checksum = checksum
      }

      init(_ migration: Migration) {
        self.init(
          number: migration.number, name: migration.name, checksum: migration.checksum)
      }
    }

    var applied: [Step]
    var pending: [Step]
  }

  func run() async throws {
    do {
      var source = try database.source()
      let settings = try database.settings(&source)
      let logger = commandLogger()
      let report: Report
      if try status && settings.url == nil && !settings.privateServer(logger: logger).isSetUp {
        Output.remark(
          "There is no database in \(settings.privateFolder) yet; `serve` or `migrate` makes it")
        report = Report(applied: [], pending: Migration.all.map(Report.Step.init))
      } else {
        report = try await settings.withConnection(logger: logger) { connection in
          let migrator = Migrator(logger: logger)
          if !status { try await migrator.migrate(on: connection) }
          let status = try await migrator.status(on: connection)
          return Report(
            applied: status.applied.map {
              Report.Step(number: $0.number, name: $0.name, checksum: $0.checksum)
            },
            pending: status.pending.map(Report.Step.init))
        }
      }
      if json {
        try Output.json(report)
        return
      }
      for step in report.applied { Output.line("applied  \(step.number)  \(step.name)") }
      for step in report.pending { Output.line("pending  \(step.number)  \(step.name)") }
      if report.pending.isEmpty { Output.remark("The schema is up to date") }
    } catch {
      throw CommandFailure(error)
    }
  }
}
