/// What is accepted from any GGUF file, however large.
///
/// A file is hostile until proven otherwise: each count is compared with its limit, and with the
/// bytes that are left, before anything is reserved for it. The limits are far above what real
/// models hold (a 400-billion-parameter mixture of experts has about 1,200 tensors; the largest
/// vocabularies have 262,144 pieces).
public struct GGUFLimits: Sendable, Equatable {
  /// Metadata keys in a file.
  public var metadataKeys = 65_536
  /// Tensors in a file.
  public var tensors = 65_536
  /// Bytes of a metadata key (the specification's own limit).
  public var keyBytes = 65_535
  /// Bytes of a tensor's name (the specification's own limit).
  public var tensorNameBytes = 64
  /// Bytes of one string value.
  public var stringBytes = 64 << 20
  /// Elements of one array.
  public var arrayElements = 1 << 24
  /// How deep arrays may be nested in arrays.
  public var arrayDepth = 4
  /// Dimensions of a tensor.
  public var dimensions = 4
  /// Bytes of header, metadata and tensor infos together.
  public var directoryBytes = 1 << 30
  /// The largest `general.alignment`.
  public var alignmentBytes = 1 << 16

  /// The limits that ``GGUFFile`` applies.
  public init() {}
}
