import Foundation

/// Writes a GGUF file (version 3, little-endian): metadata and tensors.
///
/// Tensors are laid out in the order in which they are added, each at the next multiple of
/// `general.alignment` (32 where the metadata has none).
///
/// ```swift
/// var writer = GGUFWriter(metadata: ["general.architecture": .string("llama")])
/// try writer.addTensor("output_norm.weight", shape: [4], floats: [1, 1, 1, 1])
/// try writer.write(to: "tiny.gguf")
/// ```
///
/// The whole file is put together in memory: it is meant for fixtures and small exports.
public struct GGUFWriter: Sendable {
  private struct Tensor {
    let name: String
    let shape: [Int]
    let type: GGUFTensorType
    let bytes: [UInt8]
  }

  /// The key-value part.
  public var metadata: GGUFMetadata
  private var tensors: [Tensor] = []

  /// A file with this metadata and no tensors yet.
  public init(metadata: GGUFMetadata = GGUFMetadata()) {
    self.metadata = metadata
  }

  /// A file with this metadata and no tensors yet.
  public init(metadata: KeyValuePairs<String, GGUFValue>) {
    self.metadata = GGUFMetadata(metadata)
  }

  /// Adds a tensor from its stored bytes; the shape is in ggml's order, fastest dimension first.
  ///
  /// Throws for an empty or overlong name, a name that is taken, and bytes that do not fit the
  /// shape.
  public mutating func addTensor(
    _ name: String, shape: [Int], type: GGUFTensorType, bytes: [UInt8]
  ) throws(ModelFormatError) {
    let limits = GGUFLimits()
    guard !name.isEmpty, name.utf8.count <= limits.tensorNameBytes else {
      throw Self.invalid(
        "The tensor name \(quoted(name)) must have 1 to \(limits.tensorNameBytes) bytes")
    }
    guard !tensors.contains(where: { $0.name == name }) else {
      throw ModelFormatError(
        code: .duplicateName,
        message: "There is a tensor \(quoted(name)) already; use another name.")
    }
    let raw = shape.compactMap(UInt64.init(exactly:))
    guard (1...limits.dimensions).contains(shape.count), raw.count == shape.count,
      let size = RawTensorInfo.size(raw, type), size.byteCount == bytes.count
    else {
      throw Self.invalid(
        "The tensor \(quoted(name)) has \(bytes.count) bytes, which do not fit \(type.name) of the shape "
          + "\(shape)")
    }
    tensors.append(Tensor(name: name, shape: shape, type: type, bytes: bytes))
  }

  /// Adds a tensor of float32 numbers; the shape is in ggml's order, fastest dimension first.
  public mutating func addTensor(
    _ name: String, shape: [Int], floats: [Float]
  ) throws(ModelFormatError) {
    let bytes = floats.withUnsafeBytes { Array($0) }
    try addTensor(name, shape: shape, type: .f32, bytes: bytes)
  }

  /// The bytes of the file.
  ///
  /// Throws `invalidValue` when `general.alignment` is no power of two.
  public func serialized() throws(ModelFormatError) -> [UInt8] {
    let alignment =
      try metadata.optional("general.alignment", as: Int.self) ?? GGUFDirectory.defaultAlignment
    guard alignment > 0, alignment & (alignment - 1) == 0 else {
      throw Self.invalid("general.alignment is \(alignment), which is no power of two")
    }
    var output = GGUFOutput()
    output.bytes += GGUFDirectory.magic
    output.append(UInt32(3))
    output.append(UInt64(tensors.count))
    output.append(UInt64(metadata.count))
    for key in metadata.keys {
      guard let value = metadata[key] else { continue }
      output.append(key)
      output.append(value)
    }
    var offset = 0
    for tensor in tensors {
      output.append(tensor.name)
      output.append(UInt32(tensor.shape.count))
      for extent in tensor.shape { output.append(UInt64(extent)) }
      output.append(tensor.type.rawValue)
      output.append(UInt64(offset))
      offset += tensor.bytes.count + Self.padding(after: tensor.bytes.count, alignment)
    }
    output.pad(Self.padding(after: output.bytes.count, alignment))
    for tensor in tensors {
      output.bytes += tensor.bytes
      output.pad(Self.padding(after: tensor.bytes.count, alignment))
    }
    return output.bytes
  }

  /// Writes the file under a temporary name beside `path`, then renames it, so that nobody sees
  /// half.
  ///
  /// Throws `fileUnreadable` when it cannot be written.
  public func write(to path: String) throws(ModelFormatError) {
    let data = Data(try serialized())
    do {
      try data.write(to: URL(fileURLWithPath: path), options: .atomic)
    } catch {
      throw ModelFormatError(
        code: .fileUnreadable,
        message:
          "The file cannot be written (\(error.localizedDescription)); check that the folder "
          + "exists, its permissions and the space left.", path: path)
    }
  }

  private static func padding(after count: Int, _ alignment: Int) -> Int {
    (alignment - count % alignment) % alignment
  }

  private static func invalid(_ message: String) -> ModelFormatError {
    ModelFormatError(code: .invalidValue, message: message + "; correct the call.")
  }
}
