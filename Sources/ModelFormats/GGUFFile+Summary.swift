/// What a person wants to know about a model file at a glance.
public struct GGUFSummary: Sendable, Equatable, Codable {
  /// Tensors of one type.
  public struct TypeCount: Sendable, Equatable, Codable {
    /// The type's name, such as `Q8_0`.
    public let type: String
    /// Tensors of the type.
    public let tensors: Int
    /// Elements of those tensors together.
    public let elements: Int
    /// Bytes of those tensors together.
    public let bytes: Int
  }

  /// The version of the format.
  public let version: UInt32
  /// `general.architecture`, where it is a string.
  public let architecture: String?
  /// `general.name`, where it is a string.
  public let name: String?
  /// Bytes of the whole file.
  public let fileBytes: Int
  /// Bytes of the tensors together.
  public let tensorBytes: Int
  /// What tensor offsets are multiples of.
  public let alignment: Int
  /// Where the tensor data starts in the file.
  public let dataOffset: Int
  /// The number of metadata keys.
  public let metadataKeys: Int
  /// The number of tensors.
  public let tensors: Int
  /// Elements of all tensors together: the parameters of the model.
  public let parameters: Int
  /// The tensors by type, the type with the most bytes first.
  public let types: [TypeCount]
}

extension GGUFFile {
  /// What `inspect` prints of the file.
  public var summary: GGUFSummary {
    let groups = Dictionary(grouping: tensors, by: \.type).map { type, members in
      GGUFSummary.TypeCount(
        type: type.name, tensors: members.count,
        elements: members.reduce(0) { $0 + $1.elementCount },
        bytes: members.reduce(0) { $0 + $1.byteCount })
    }
    return GGUFSummary(
      version: version, architecture: metadata["general.architecture"].flatMap(String.init),
      name: metadata["general.name"].flatMap(String.init), fileBytes: byteCount,
      tensorBytes: groups.reduce(0) { $0 + $1.bytes }, alignment: alignment,
      dataOffset: dataOffset, metadataKeys: metadata.count, tensors: tensors.count,
      parameters: groups.reduce(0) { $0 + $1.elements },
      types: groups.sorted { ($0.bytes, $1.type) > ($1.bytes, $0.type) })
  }
}
