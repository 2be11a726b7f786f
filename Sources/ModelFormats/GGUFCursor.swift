/// Reads little-endian values one after another and never past the end.
///
/// The end is the end of the bytes or the limit on the directory, whichever comes first.
struct GGUFCursor {
  private let bytes: UnsafeRawBufferPointer
  private let end: Int
  let limits: GGUFLimits
  /// Where the next value starts, counted from the first byte of the file.
  private(set) var offset = 0

  init(_ bytes: UnsafeRawBufferPointer, limits: GGUFLimits) {
    self.bytes = bytes
    self.limits = limits
    end = min(bytes.count, limits.directoryBytes)
  }

  /// Bytes between here and the end.
  var remaining: Int { end - offset }

  /// The next number, of any width.
  mutating func number<Number: BitwiseCopyable>(
    _ what: @autoclosure () -> String, as type: Number.Type = Number.self
  ) throws(ModelFormatError) -> Number {
    let size = MemoryLayout<Number>.size
    try need(size, what())
    let value = bytes.loadUnaligned(fromByteOffset: offset, as: Number.self)
    offset += size
    return value
  }

  /// A truth value: a byte that is 0 or 1.
  mutating func bool(_ what: @autoclosure () -> String) throws(ModelFormatError) -> Bool {
    let start = offset
    let byte: UInt8 = try number(what())
    guard byte <= 1 else {
      throw fault(
        .malformed, "\(what()) is a bool with the value \(byte); only 0 and 1 exist", at: start)
    }
    return byte == 1
  }

  /// A count of things that take at least `minimumBytes` each: checked against its limit and
  /// against the bytes that are left, before anything is reserved for it.
  mutating func count(
    _ what: @autoclosure () -> String, limit: Int, minimumBytes: Int
  ) throws(ModelFormatError) -> Int {
    let start = offset
    let raw: UInt64 = try number(what())
    guard let count = Int(exactly: raw), count <= limit else {
      throw fault(.limitExceeded, "\(what()) is \(raw), above the limit of \(limit)", at: start)
    }
    try afford(count, minimumBytes, what(), at: start)
    return count
  }

  /// A UTF-8 string: its length in bytes, then the bytes.
  mutating func string(
    _ what: @autoclosure () -> String, limit: Int
  ) throws(ModelFormatError) -> String {
    let start = offset
    let raw: UInt64 = try number(what())
    guard let length = Int(exactly: raw), length <= limit else {
      throw fault(
        .limitExceeded, "\(what()) is \(raw) bytes long, above the limit of \(limit)", at: start)
    }
    try need(length, what())
    let slice = UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + length])
    guard let text = String(validating: slice.bindMemory(to: UInt8.self), as: UTF8.self) else {
      throw fault(.malformed, "\(what()) is not valid UTF-8", at: offset)
    }
    offset += length
    return text
  }

  /// An array of fixed-width numbers.
  mutating func numbers<Number: BitwiseCopyable>(
    _ count: Int, _ what: @autoclosure () -> String, as type: Number.Type = Number.self
  ) throws(ModelFormatError) -> [Number] {
    try afford(count, MemoryLayout<Number>.stride, what(), at: offset)
    let size = count * MemoryLayout<Number>.stride
    let source = UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + size])
    offset += size
    return [Number](unsafeUninitializedCapacity: count) { buffer, initialized in
      UnsafeMutableRawBufferPointer(buffer).copyMemory(from: source)
      initialized = count
    }
  }

  /// An error at a place in the file, with what to do about it.
  func fault(_ code: ModelFormatError.Code, _ what: String, at place: Int) -> ModelFormatError {
    ModelFormatError(
      code: code,
      message: "\(what); the file is damaged or was not written as GGUF: fetch or "
        + "convert it again.", byteOffset: place)
  }

  private func afford(
    _ count: Int, _ minimumBytes: Int, _ what: @autoclosure () -> String, at place: Int
  ) throws(ModelFormatError) {
    let (size, overflow) = count.multipliedReportingOverflow(by: minimumBytes)
    if overflow || size > remaining {
      throw shortage("\(what()) of \(count) needs more bytes than are left", at: place)
    }
  }

  private func need(
    _ size: Int, _ what: @autoclosure () -> String
  ) throws(ModelFormatError) {
    if size > remaining {
      throw shortage("\(what()) needs \(size) bytes and \(remaining) are left", at: offset)
    }
  }

  private func shortage(_ what: String, at place: Int) -> ModelFormatError {
    if end < bytes.count {
      return fault(
        .limitExceeded, "\(what) of the \(limits.directoryBytes) that metadata may take", at: place)
    }
    return fault(.truncated, what, at: place)
  }
}
