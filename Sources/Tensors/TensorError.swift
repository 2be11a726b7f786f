/// Why tensors or threads could not be made.
public struct TensorError: Error, Sendable, Hashable, CustomStringConvertible {
  /// The kinds of failure.
  public enum Code: String, Sendable, Hashable {
    /// A shape is empty, overflows, or does not fit the data given.
    case invalidShape = "invalid_shape"
    /// The system has no more memory.
    case outOfMemory = "out_of_memory"
    /// The system does not start another thread.
    case noThreads = "no_threads"
    /// The machine cannot run these kernels.
    case unsupportedPath = "unsupported_path"
  }

  /// What kind of failure this is.
  public let code: Code
  /// One sentence for a person, with what to do about it.
  public let message: String

  /// Makes an error from its parts.
  public init(code: Code, message: String) {
    self.code = code
    self.message = message
  }

  /// The code and the message in one line.
  public var description: String { "\(code.rawValue): \(message)" }
}
