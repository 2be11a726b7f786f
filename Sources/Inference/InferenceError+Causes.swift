import Grammars
import ModelFormats
import Tensors
import Tokenizers

extension InferenceError {
  /// Tells a tensor error in the engine's terms.
  init(_ cause: TensorError) {
    let code: Code =
      switch cause.code {
      case .outOfMemory, .noThreads: .outOfMemory
      case .unsupportedPath: .optionsInvalid
      case .invalidShape: .tensorInvalid
      }
    self.init(code: code, message: cause.message)
  }

  /// Tells a model format error in the engine's terms.
  init(_ cause: ModelFormatError) {
    let code: Code = cause.code == .unsupportedArchitecture ? .modelUnsupported : .modelUnreadable
    var context = ["cause": cause.code.rawValue]
    if let path = cause.path { context["path"] = path }
    if let offset = cause.byteOffset { context["byte_offset"] = String(offset) }
    self.init(code: code, message: cause.message, context: context)
  }

  /// Tells a tokenizer error in the engine's terms.
  init(_ cause: TokenizerError) {
    let code: Code = cause.code == .unsupportedModel ? .modelUnsupported : .modelUnreadable
    self.init(code: code, message: cause.message, context: ["cause": cause.code.rawValue])
  }

  /// No token can be chosen, because of what the model computed.
  static func notFinite(position: Int) -> InferenceError {
    InferenceError(
      code: .notFinite,
      message: "The model computed logits that are not finite; its weights are likely damaged.",
      context: ["position": String(position)])
  }

  /// What was committed of a search is not the beginning of what it comes to.
  static var notResumed: InferenceError {
    InferenceError(
      code: .requestInvalid,
      message: "What was kept of this search is not what it comes to here; run it anew, or by the "
        + "program that began it.",
      context: ["field": "resumedTokens"])
  }

  /// No token can be chosen, because of what the text must be.
  static func noTokenFits(position: Int) -> InferenceError {
    InferenceError(
      code: .requestInvalid,
      message:
        "No token of the vocabulary continues the text as its grammar wants it. Left out is what "
        + "would lead to more than \(GrammarLimits.placesAtOnce) places of the grammar at once: if it is "
        + "ambiguous, such as repetitions in repetitions, make it less so.",
      context: ["position": String(position)])
  }
}
