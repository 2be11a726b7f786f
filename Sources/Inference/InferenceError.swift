/// What went wrong in the engine: a code to act on, a message with the remedy, and where it was.
///
/// Descriptions never hold prompts or generated text, so they may be logged and stored.
public struct InferenceError: Error, Sendable, Hashable, CustomStringConvertible {
  /// The kinds of failure a caller may want to tell apart.
  public enum Code: String, Sendable, Hashable, CaseIterable {
    /// The file is missing, unreadable or not a valid model file.
    case modelUnreadable = "model_unreadable"
    /// A valid model that this build does not know how to run.
    case modelUnsupported = "model_unsupported"
    /// A tensor is missing or has another shape than the configuration says.
    case tensorInvalid = "tensor_invalid"
    /// The engine's options are out of range or contradict each other or the model.
    case optionsInvalid = "options_invalid"
    /// The request is out of range; retrying it unchanged is of no use.
    case requestInvalid = "request_invalid"
    /// Prompt and output together cannot fit into the context.
    case promptTooLong = "prompt_too_long"
    /// The engine is full now; the same request may be admitted later.
    case noRoom = "no_room"
    /// The model computed a value that is not a number.
    case notFinite = "not_finite"
    /// Memory for weights or cache could not be had.
    case outOfMemory = "out_of_memory"
    /// The task that waited for it was cancelled.
    case cancelled
  }

  /// What kind of failure this is.
  public let code: Code
  /// One sentence for a person, with what to do about it.
  public let message: String
  /// Names of the things involved (a tensor, a field, a path), for logs.
  public let context: [String: String]

  /// Makes an error from its parts.
  public init(code: Code, message: String, context: [String: String] = [:]) {
    self.code = code
    self.message = message
    self.context = context
  }

  /// The code, the message and the context in one line.
  public var description: String {
    let details = context.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
    let suffix = details.isEmpty ? "" : " [\(details.joined(separator: ", "))]"
    return "\(code.rawValue): \(message)\(suffix)"
  }
}
