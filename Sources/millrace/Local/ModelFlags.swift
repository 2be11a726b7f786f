public import ArgumentParser
import Inference
public import Tensors

extension KernelPath: ExpressibleByArgument {}

/// A model that is run here, without a service.
struct ModelFlags: ParsableArguments {
  @Option(name: .customLong("model"), help: "The model, a GGUF file. [the bundled storyteller]")
  var path: String?

  @Option(parsing: .unconditional, help: "Threads that compute, 1 to 256. [one a core]")
  var threads: Int?

  @Option(help: "Kernels: auto, scalar, avx2 or avx512. The output is the same.")
  var kernels: KernelPath = .auto

  func validate() throws {
    if let threads, !(1...256).contains(threads) {
      throw ValidationError("--threads must be from 1 to 256")
    }
  }

  func load() throws -> LanguageModel {
    try explaining {
      try LanguageModel.load(
        path: path ?? BundledModels().required(),
        options: LoadOptions(kernelPath: kernels, threads: threads))
    }
  }
}
