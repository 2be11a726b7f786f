import Foundation
import ModelFormats
import Tensors

extension EngineOptions {
  /// The context that a model gets unless one is asked for.
  static let defaultContextLength = 4_096
  /// Bytes that the KV cache takes unless a number is given.
  static let defaultCacheBytes = 2 << 30
  /// One thread a core.
  static var defaultThreads: Int {
    min(max(ProcessInfo.processInfo.activeProcessorCount, 1), 256)
  }

  /// The options with every default filled in for one model.
  struct Resolved: Hashable {
    var contextLength: Int
    var threads: Int
    var kernelPath: KernelPath
    var cacheBlocks: Int
    /// Bytes of one of them, those of the draft model included.
    var blockBytes: Int
  }

  /// Checks the options against a model, without reserving anything; throws `optionsInvalid`, whose
  /// context names the field.
  public func check(
    for model: LanguageModel, draft: LanguageModel? = nil
  ) throws(InferenceError) {
    _ = try resolved(for: model, draft: draft)
  }

  /// Checks the options against a model; throws `optionsInvalid` naming the field.
  func resolved(
    for model: LanguageModel, draft: LanguageModel? = nil
  ) throws(InferenceError) -> Resolved {
    try check(
      draft.map { $0.vocabularyFingerprint == model.vocabularyFingerprint } ?? true, "draft",
      "a model with the same vocabulary")
    let trained = model.configuration.contextLength
    let context = contextLength ?? min(trained, Self.defaultContextLength)
    let threads = threads ?? Self.defaultThreads
    try check((1...4_096).contains(maxSequences), "maxSequences", "1 to 4096")
    try check(
      (maxSequences...65_536).contains(maxTokensPerStep), "maxTokensPerStep",
      "at least maxSequences (\(maxSequences)), at most 65536")
    try check(prefillChunk >= 1, "prefillChunk", "at least 1")
    try check(tokenLatency ?? .seconds(1) > .zero, "tokenLatency", "over zero")
    try check(
      (2...max(trained, 2)).contains(context), "contextLength",
      "2 to the \(trained) tokens that the model was trained for")
    try check((1...256).contains(threads), "threads", "1 to 256")
    try check(
      kvBlockTokens % KeyValueLayer.tileTokens == 0 && (16...4_096).contains(kvBlockTokens),
      "kvBlockTokens", "a multiple of 16, 16 to 4096")
    let blocksPerContext = limits(model).mostBlocks(for: context, blockTokens: kvBlockTokens)
    let blockBytes = [model, draft].compactMap(\.self).reduce(0) { bytes, model in
      bytes
        + KeyValueCache.blockBytes(
          model.configuration, storage: model.keyValueStorage, blockTokens: kvBlockTokens)
    }
    // And one each, with which the sequences of one search can always go on together.
    let wanted = (blocksPerContext + 1) * maxSequences
    let blocks =
      kvCacheBytes.map { $0 / blockBytes }
      ?? min(wanted, max(Self.defaultCacheBytes / blockBytes, blocksPerContext))
    try check(
      blocks >= blocksPerContext, "kvCacheBytes",
      "at least \(blocksPerContext * blockBytes), what a context of \(context) tokens takes")
    return Resolved(
      contextLength: context, threads: threads,
      kernelPath: kernelPath == .auto ? model.kernelPath : kernelPath,
      cacheBlocks: min(blocks, sharesPrefixes(model) ? Int(Int32.max) : wanted),
      blockBytes: blockBytes)
  }

  /// Whether sequences share what their texts have in common: not where they give back the beginning
  /// of it.
  func sharesPrefixes(_ model: LanguageModel) -> Bool {
    cachesPrefixes && model.keyValueStorage.window == nil
  }

  /// What a step may hold.
  func limits(_ model: LanguageModel) -> Scheduler.Limits {
    Scheduler.Limits(
      tokens: maxTokensPerStep, chunk: prefillChunk, drafts: Engine.maximumDrafts,
      window: model.keyValueStorage.window)
  }

  private func check(_ holds: Bool, _ field: String, _ rule: String) throws(InferenceError) {
    guard !holds else { return }
    throw InferenceError(
      code: .optionsInvalid, message: "\(field) must be \(rule).", context: ["field": field])
  }
}
