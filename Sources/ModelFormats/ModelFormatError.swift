/// What went wrong while a model file was read, checked or written.
///
/// Every error says what to do about it in its ``message``; ``byteOffset`` is where in the file the
/// offending value starts, so that a broken file can be looked at with a hex viewer.
public struct ModelFormatError: Error, Sendable, Equatable, CustomStringConvertible {
  /// The kind of failure: what a program decides on, where ``message`` is for people.
  public enum Code: String, Sendable {
    /// The path names nothing.
    case fileNotFound = "file_not_found"
    /// The file exists and cannot be opened, mapped or written.
    case fileUnreadable = "file_unreadable"
    /// The path names a directory, a pipe or a device.
    case notARegularFile = "not_a_regular_file"
    /// The file was written to while it was open.
    case fileChanged = "file_changed"
    /// The file has no bytes.
    case emptyFile = "empty_file"
    /// The file does not begin with the magic of the format.
    case badMagic = "bad_magic"
    /// A version (or byte order) of the format that is not read here.
    case unsupportedVersion = "unsupported_version"
    /// The file ends before what it promises.
    case truncated = "truncated"
    /// A count or length is above what is accepted from any file.
    case limitExceeded = "limit_exceeded"
    /// A value breaks the rules of the format.
    case malformed = "malformed"
    /// A key or tensor name occurs twice.
    case duplicateName = "duplicate_name"
    /// A tensor type id that is not known here.
    case unknownTensorType = "unknown_tensor_type"
    /// A tensor lies outside the file, misaligned, or over another tensor.
    case badTensorRange = "bad_tensor_range"
    /// A metadata key that is needed is not there.
    case missingKey = "missing_key"
    /// A metadata value has another type than the one that is needed.
    case wrongType = "wrong_type"
    /// A metadata value is outside the range that makes sense.
    case invalidValue = "invalid_value"
    /// The model's architecture is not one that is known here.
    case unsupportedArchitecture = "unsupported_architecture"
  }

  /// The kind of failure.
  public let code: Code
  /// What happened and what to do about it, in one or two sentences.
  public let message: String
  /// Where in the file the offending value starts, counted in bytes from its first byte; nil when
  /// the failure has no place in the file.
  public let byteOffset: Int?
  /// The file, as the caller named it; nil when the bytes did not come from a file.
  public let path: String?

  /// Makes an error; the message should name the remedy.
  public init(code: Code, message: String, byteOffset: Int? = nil, path: String? = nil) {
    self.code = code
    self.message = message
    self.byteOffset = byteOffset
    self.path = path
  }

  /// The same error with the file's name filled in.
  func naming(_ path: String) -> ModelFormatError {
    ModelFormatError(code: code, message: message, byteOffset: byteOffset, path: path)
  }

  public var description: String {
    var text = ""
    if let path { text += "\(path): " }
    text += message
    if let byteOffset { text += " (at byte \(byteOffset))" }
    return text + " [\(code.rawValue)]"
  }
}
