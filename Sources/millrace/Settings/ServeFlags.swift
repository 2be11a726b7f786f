import ArgumentParser

/// The flags of `serve`. Each can also be set as MILLRACE_NAME, or in the settings file.
struct ServeFlags: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      """
      A model to serve, as NAME=PATH of a GGUF file. May be repeated. [the bundled storyteller, \
      where it is installed]
      """,
      valueName: "name=path"))
  var model: [String] = []

  @Option(
    help: ArgumentHelp(
      """
      A smaller model of the same vocabulary that drafts for a model, as NAME=PATH with the name of \
      that model. May be repeated. [the bundled draft, for the bundled storyteller]
      """,
      valueName: "name=path"))
  var draft: [String] = []

  @Option(help: "Where to listen: HOST:PORT or unix:PATH. May be repeated. [127.0.0.1:50051]")
  var listen: [String] = []

  @Option(
    help: "Folder of the private database. [~/.local/share/millrace, for root /var/lib/millrace]")
  var dataDir: String?

  @Option(
    name: .customLong("database-url"),
    help: ArgumentHelp(
      "The database, PostgreSQL 14 or later. [a private one]",
      valueName: "postgresql://…"))
  var databaseURL: String?

  @Option(help: "System user that runs the private database when this is root. [postgres]")
  var databaseUser: String?

  @Option(parsing: .unconditional, help: "Threads that compute, 1 to 256. [one a core]")
  var threads: Int?

  @Option(
    parsing: .unconditional, help: "How many outputs are written at once, for each model. [16]")
  var slots: Int?

  @Option(
    parsing: .unconditional,
    help: "The most tokens of prompt and output together. [the model's, at most 4096]"
  )
  var contextLength: Int?

  @Option(
    name: .customLong("token-latency-ms"), parsing: .unconditional,
    help: ArgumentHelp(
      """
      How many milliseconds a running job's next token may be held up by the prompts of others; 0 \
      for throughput alone. [250]
      """,
      valueName: "ms"))
  var tokenLatency: Int?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      """
      How far the computing threads stand behind the machine's others, those that stream tokens \
      among them: 0 to 19, as with nice. [10]
      """,
      valueName: "n"))
  var engineNiceness: Int?

  @Option(help: "Kernels: auto, scalar, avx2 or avx512. The output is the same. [auto]")
  var kernels: String?

  @Option(
    help: ArgumentHelp(
      """
      How keys and values are stored: f32, f16, bf16 or int8; layers of their own after it, as in \
      int8,0-1=f32; a window of tokens, as in f16,window=4+1024 (the first 4 and the last 1024). \
      What is rounded or left out changes the text. [f32]
      """,
      valueName: "type"))
  var kvCacheType: String?

  @Option(
    help: ArgumentHelp(
      """
      Memory for keys and values, for each model: 512MiB, 4GiB, 25% of the machine's. [room for \
      all slots, at most 2GiB]
      """,
      valueName: "size"))
  var kvCacheMemory: String?

  @Option(
    help: ArgumentHelp(
      """
      on or off: keep the keys and values of ended jobs for those with the same beginning. The \
      output is the same. [on]
      """,
      valueName: "on|off"))
  var prefixCache: String?

  @Option(
    help: ArgumentHelp(
      """
      Folder for repacked weights, which later starts and other processes share, or off. Models \
      under 32 MiB are not kept. [~/.cache/millrace]
      """,
      valueName: "folder"))
  var weightCache: String?

  @Option(
    help: ArgumentHelp(
      """
      The most that the folder of repacked weights holds, such as 20GiB; what was not loaded for \
      longest goes. [64GiB]
      """,
      valueName: "size"))
  var weightCacheLimit: String?

  @Option(
    parsing: .unconditional,
    help: "The most jobs that may wait in the queue; more are refused. [1000000]")
  var maxQueuedJobs: Int?

  @Option(
    parsing: .unconditional,
    help: "Days for which ended jobs and their output are kept, or 'forever'. [90]")
  var keepDays: String?

  @Option(help: "PEM file with the server's certificate chain; switches TLS on.")
  var tlsCertificate: String?

  @Option(help: "PEM file with the server's private key.")
  var tlsKey: String?

  @Option(help: "PEM file with the roots that clients' certificates must come from (mutual TLS).")
  var tlsClientRoots: String?

  @Option(
    parsing: .unconditional,
    help: "How many seconds running calls may take to end at a shutdown. [10]")
  var drainSeconds: Int?

  @Option(help: "trace, debug, info, notice, warning, error or critical. [info]")
  var logLevel: String?

  @Option(help: "The settings file. [millrace.yaml, if there is one]")
  var config: String?
}
