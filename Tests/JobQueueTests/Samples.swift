import Foundation
import JobQueue

/// Jobs and chunks for the tests of this target.
enum Samples {
  static func job(_ state: JobState = .running, outputTokens: Int = 0) -> Job {
    Job(
      id: JobID(UUID()), tenant: "default",
      spec: GenerationSpec(
        model: "m", prompt: .text("p"), sampling: SamplingParameters(seed: 1)),
      state: state, usage: Usage(outputTokens: Int64(outputTokens)),
      createTime: Timestamp(microsecondsSinceEpoch: 0))
  }

  /// A chunk whose tokens are their own indices.
  static func chunk(_ range: Range<Int>) -> OutputChunk {
    OutputChunk(
      firstIndex: range.lowerBound, tokens: range.map(Int32.init), pieces: range.map { "\($0) " },
      offsetsMicroseconds: range.map(Int64.init))
  }

  static func spec(
    _ change: (inout GenerationSpec) -> Void = { _ in }
  ) -> GenerationSpec {
    var spec = GenerationSpec(
      model: "story", prompt: .text("Once"), sampling: SamplingParameters(seed: 1))
    change(&spec)
    return spec
  }
}

/// A catalog of one model whose tokens are the prompt's bytes.
struct ByteCatalog: ModelCatalog {
  var contextLength: Int32 = 100
  var hasChatTemplate = false

  var models: [ModelDescription] {
    [
      ModelDescription(
        name: "story", fingerprint: "f", architecture: "llama", parameterCount: 1,
        vocabularySize: 256, contextLength: contextLength, hasChatTemplate: hasChatTemplate)
    ]
  }

  func promptTokenCount(_ prompt: Prompt, model: String) throws(JobFailure) -> Int {
    switch prompt {
    case .text(let text): text.utf8.count
    case .tokens(let tokens): tokens.count
    case .messages(let messages): messages.reduce(0) { $0 + $1.content.utf8.count }
    }
  }
}
