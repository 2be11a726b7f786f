/// What stands before the tensor data of a GGUF file: header, metadata and tensor infos.
///
/// Layout (little-endian; a string is a uint64 length and that many UTF-8 bytes):
///
///     "GGUF"  uint32 version  uint64 tensors  uint64 keys
///     keys ×    string key, uint32 type, value
///     tensors × string name, uint32 dimensions, uint64 × dimensions, uint32 type, uint64 offset
///     padding to general.alignment (32 where absent), then the tensor data
///
/// An array value is uint32 element type, uint64 count and the elements; arrays nest. A tensor's
/// offset counts from the start of the data and is a multiple of the alignment. Versions 2 and 3
/// differ in nothing that is read here (3 allows big-endian files, which are refused).
/// Source: the GGUF specification (`docs/gguf.md` of ggml).
struct GGUFDirectory {
  static let magic = Array("GGUF".utf8)
  static let defaultAlignment = 32

  var version: UInt32
  var metadata: GGUFMetadata
  var alignment: Int
  /// Where the tensor data starts, counted from the first byte of the file.
  var dataOffset: Int
  /// In the order of the file; every range was checked to lie inside it.
  var tensors: [GGUFTensorInfo]
  /// Index into ``tensors`` by name.
  var tensorIndex: [String: Int]
}

extension GGUFDirectory {
  /// Reads and checks everything before the tensor data, and where each tensor lies.
  ///
  /// `bytes` is the whole file. Throws the first thing that is wrong, with its place.
  init(
    parsing bytes: UnsafeRawBufferPointer, limits: GGUFLimits = GGUFLimits()
  ) throws(ModelFormatError) {
    var cursor = GGUFCursor(bytes, limits: limits)
    version = try Self.version(&cursor)
    let tensorCount = try cursor.count(
      "The number of tensors", limit: limits.tensors, minimumBytes: 32)
    let keyCount = try cursor.count(
      "The number of metadata keys", limit: limits.metadataKeys, minimumBytes: 13)
    metadata = try Self.metadata(keyCount, &cursor)
    alignment = try Self.alignment(metadata, limits)
    var infos: [RawTensorInfo] = []
    infos.reserveCapacity(tensorCount)
    for _ in 0..<tensorCount { infos.append(try RawTensorInfo(&cursor)) }
    let padded = cursor.offset + (alignment - cursor.offset % alignment) % alignment
    // A vocabulary without tensors may end where its metadata does, without padding.
    dataOffset = tensorCount == 0 ? min(padded, bytes.count) : padded
    tensors = []
    tensorIndex = [:]
    tensors.reserveCapacity(tensorCount)
    for info in infos {
      let tensor = try info.placed(
        dataOffset: dataOffset, alignment: alignment, fileBytes: bytes.count)
      if tensorIndex.updateValue(tensors.count, forKey: tensor.name) != nil {
        throw cursor.fault(
          .duplicateName, "The tensor name \(quoted(tensor.name)) occurs twice", at: info.place)
      }
      tensors.append(tensor)
    }
    try checkOverlap()
  }

  private static func version(_ cursor: inout GGUFCursor) throws(ModelFormatError) -> UInt32 {
    let found: [UInt8] = try cursor.numbers(4, "The magic")
    guard found == magic else {
      throw ModelFormatError(
        code: .badMagic,
        message: "The file does not begin with 'GGUF'; give the path of a GGUF model.",
        byteOffset: 0)
    }
    let version: UInt32 = try cursor.number("The version")
    if version == 2 || version == 3 { return version }
    let reason =
      version.byteSwapped <= 3 && version > 0
      ? "The file is big-endian; only little-endian files are read."
      : "GGUF version \(version) is not read; versions 2 and 3 are."
    throw ModelFormatError(
      code: .unsupportedVersion,
      message: reason + " Convert the model again with a current converter.", byteOffset: 4)
  }

  private static func metadata(
    _ count: Int, _ cursor: inout GGUFCursor
  ) throws(ModelFormatError) -> GGUFMetadata {
    var metadata = GGUFMetadata()
    for _ in 0..<count {
      let place = cursor.offset
      let key = try cursor.string("A metadata key", limit: cursor.limits.keyBytes)
      guard !key.isEmpty else {
        throw cursor.fault(.malformed, "A metadata key is empty", at: place)
      }
      guard metadata[key] == nil else {
        throw cursor.fault(
          .duplicateName, "The metadata key \(quoted(key)) occurs twice", at: place)
      }
      metadata[key] = try cursor.value(of: key)
    }
    return metadata
  }

  private static func alignment(
    _ metadata: GGUFMetadata, _ limits: GGUFLimits
  ) throws(ModelFormatError) -> Int {
    let alignment = try metadata.optional("general.alignment", as: Int.self) ?? defaultAlignment
    guard (1...limits.alignmentBytes).contains(alignment), alignment & (alignment - 1) == 0 else {
      throw ModelFormatError(
        code: .invalidValue,
        message: "general.alignment is \(alignment); it must be a power of two of at most "
          + "\(limits.alignmentBytes): convert the model again.")
    }
    return alignment
  }

  private func checkOverlap() throws(ModelFormatError) {
    let byOffset = tensors.sorted { $0.fileOffset < $1.fileOffset }
    for (one, next) in zip(byOffset, byOffset.dropFirst())
    where one.fileOffset + one.byteCount > next.fileOffset {
      throw ModelFormatError(
        code: .badTensorRange,
        message: "The tensors \(quoted(one.name)) and \(quoted(next.name)) overlap; the file is "
          + "damaged: fetch or convert it again.", byteOffset: next.fileOffset)
    }
  }
}
