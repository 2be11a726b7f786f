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
      int8,0-1=f32. What is rounded changes the text.
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

  func validate() throws {
    if let threads, !(1...256).contains(threads) {
      throw ValidationError("--threads must be from 1 to 256")
    }
  }

  func load() throws -> LanguageModel {
    try explaining {
      let model = try LanguageModel.load(
        path: path ?? BundledModels().required(),
        options: LoadOptions(
          kernelPath: kernels, keyValueStorage: keyValueStorage,
          weightCache: WeightCacheFolder.cache(flag: weightCache), threads: threads))
      if case .fallback(let problem) = model.weightPlace { Output.remark("Warning: \(problem)") }
      return model
    }
  }
}
