import Synchronization

/// A GGUF model file: its metadata, and its tensors as bytes of a memory map.
///
/// Opening reads and checks everything before the tensor data, and that each tensor lies inside the
/// file; the tensors themselves are paged in when they are read. All of it can be used from many
/// threads at once. Versions 2 and 3, little-endian.
///
/// ```swift
/// let file = try GGUFFile(path: "model.gguf")
/// let layers = try file.metadata.uint32("llama.block_count")
/// let embedding = try file.tensor(named: "token_embd.weight")
/// let first = file.withBytes(of: embedding) { $0.loadUnaligned(as: Float.self) }
/// ```
///
/// A file that is cut short while it is open ends the process (SIGBUS) when a lost page is read.
/// Replace models by renaming a new file over the old one.
public final class GGUFFile: Sendable {
  /// The path it was opened with.
  public let path: String
  /// The version of the format: 2 or 3.
  public let version: UInt32
  /// The key-value part.
  public let metadata: GGUFMetadata
  /// The tensors in the order of the file.
  public let tensors: [GGUFTensorInfo]
  /// What tensor offsets are multiples of, in bytes.
  public let alignment: Int
  /// Where the tensor data starts, counted from the first byte of the file.
  public let dataOffset: Int

  let map: MappedFile
  let fingerprint = Mutex<String?>(nil)
  private let tensorIndex: [String: Int]

  /// Opens, maps and checks a file.
  ///
  /// Throws ``ModelFormatError`` for a file that is missing, unreadable, empty, not GGUF, cut short
  /// or inconsistent, with the byte offset of the first value that is wrong.
  public init(path: String) throws(ModelFormatError) {
    do {
      map = try MappedFile(path: path)
      let directory = try GGUFDirectory(parsing: map.bytes)
      self.path = path
      version = directory.version
      metadata = directory.metadata
      tensors = directory.tensors
      alignment = directory.alignment
      dataOffset = directory.dataOffset
      tensorIndex = directory.tensorIndex
    } catch {
      throw error.naming(path)
    }
  }

  /// Bytes of the whole file.
  public var byteCount: Int { map.bytes.count }

  /// Throws `fileChanged` where the file was written to, or cut short, since it was opened: what
  /// was read of it may then be partly of the old one and partly of the new one.
  public func checkUnchanged() throws(ModelFormatError) {
    do {
      try map.checkUnchanged()
    } catch {
      throw error.naming(path)
    }
  }

  /// The tensor of that name, or nil.
  public func tensorIfPresent(named name: String) -> GGUFTensorInfo? {
    tensorIndex[name].map { tensors[$0] }
  }

  /// The tensor of that name; throws `missingKey` where there is none.
  public func tensor(named name: String) throws(ModelFormatError) -> GGUFTensorInfo {
    guard let tensor = tensorIfPresent(named: name) else {
      throw ModelFormatError(
        code: .missingKey,
        message: "The file has no tensor \(quoted(name)); convert the model again, with its "
          + "weights.",
        path: path)
    }
    return tensor
  }

  /// The bytes of a tensor of this file, which stay valid for as long as this object lives.
  ///
  /// The first byte is aligned to ``alignment`` within the file. The info must come from this file.
  public func bytes(of tensor: GGUFTensorInfo) -> UnsafeRawBufferPointer {
    precondition(
      tensorIfPresent(named: tensor.name) == tensor,
      "The tensor '\(tensor.name)' is not one of this file; pass an info of the same GGUFFile.")
    let range = tensor.fileOffset..<tensor.fileOffset + tensor.byteCount
    return UnsafeRawBufferPointer(rebasing: map.bytes[range])
  }

  /// Calls `body` with the bytes of a tensor of this file and keeps the file open meanwhile.
  public func withBytes<Result, Failure: Error>(
    of tensor: GGUFTensorInfo, _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    try withExtendedLifetime(self) { () throws(Failure) in try body(bytes(of: tensor)) }
  }
}
