import ArgumentParser

/// The command line: the one place where everything is put together.
@main
struct Millrace: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "millrace",
    abstract: "A durable LLM generation service: jobs that survive crashes, to the byte.",
    discussion: """
      Start a service:      millrace serve --model story=model.gguf
      Run a job and watch:  millrace submit --model story --prompt "Once upon a time" --watch
      Without a service:    millrace generate --model model.gguf --prompt "Once upon a time"
      Is all well here?     millrace doctor
      """,
    version: version,
    groupedSubcommands: [
      CommandGroup(
        name: "Service",
        subcommands: [
          Serve.self, Models.self, Stats.self, ListExecutors.self, Caches.self, Drain.self,
          Migrate.self, Doctor.self,
        ]),
      CommandGroup(
        name: "Jobs",
        subcommands: [Submit.self, Watch.self, Get.self, List.self, Cancel.self]),
      CommandGroup(
        name: "Models",
        subcommands: [
          Generate.self, Tokenize.self, Logits.self, Inspect.self, Bench.self,
        ]),
    ])

  static let version = "0.1.0"
}
