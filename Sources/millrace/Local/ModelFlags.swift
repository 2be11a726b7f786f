public import ArgumentParser
public import Inference
public import Tensors

extension KernelPath: ExpressibleByArgument {}

extension KeyValueStorage: ExpressibleByArgument {
  public init?(argument: String) { self.init(argument) }
}

/// A model that is run here, without a service.
struct ModelFlags: ParsableArguments {
  @Option(name: .customLong("model"), help: "The model, a GGUF file. [the bundled storyteller]")
  var path: String?

  @Option(parsing: .unconditional, help: "Threads that compute, 1 to 256. [one a core]")
  var threads: Int?

  @Option(help: "Kernels: auto, scalar, avx2 or avx512. The output is the same.")
  var kernels: KernelPath = .auto

  @Option(
    name: .customLong("kv-cache-type"),
    help: ArgumentHelp(
      """
      How keys and values are stored: f32, f16, bf16 or int8; layers of their own after it, as in \
      int8,0-1=f32; a window of tokens, as in f16,window=4+1024 (the first 4 and the last 1024). \
      What is rounded or left out changes the text.
      """,
      valueName: "type"))
  var keyValueStorage = KeyValueStorage(.f32)

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

  func validate() throws {
    if let weightCacheLimit, MemorySize(weightCacheLimit, memory: nil) == nil {
      throw ValidationError("--weight-cache-limit must be \(MemorySize.plainForm)")
    }
    if let threads, !(1...256).contains(threads) {
      throw ValidationError("--threads must be from 1 to 256")
    }
  }

  func load() throws -> LanguageModel {
    try load(try path ?? BundledModels().required())
  }

  /// Loads another model in the same way.
  func load(_ path: String) throws -> LanguageModel {
    try explaining {
      let model = try LanguageModel.load(
        path: path,
        options: LoadOptions(
          kernelPath: kernels, keyValueStorage: keyValueStorage,
          weightCache: WeightCacheFolder.cache(
            flag: weightCache,
            limit: weightCacheLimit.flatMap { MemorySize($0, memory: nil)?.bytes }),
          threads: threads))
      if case .fallback(let problem) = model.weightPlace { Output.remark("Warning: \(problem)") }
      return model
    }
  }
}

/// A model that drafts for the one that is run.
struct DraftFlags: ParsableArguments {
  @Option(
    name: .customLong("draft"),
    help: ArgumentHelp(
      """
      A smaller model with the same vocabulary that drafts, a GGUF file, or off. [the bundled one \
      for the bundled storyteller]
      """,
      valueName: "path"))
  var path: String?

  /// Loads the draft for the model that `flags` name, if there is one.
  func load(_ flags: ModelFlags) throws -> LanguageModel? {
    let bundled = flags.path == nil ? BundledModels().draft : nil
    guard let path = path ?? bundled, path != "off" else { return nil }
    return try flags.load(path)
  }
}
