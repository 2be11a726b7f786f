/// Where a tensor lies in a GGUF file and how it is stored.
///
/// The shape is in ggml's order: `shape[0]` is the fastest dimension, the length of a contiguous
/// row. A weight matrix of a linear layer with `inputs` columns and `outputs` rows has the shape
/// `[inputs, outputs]`; the token embedding has `[width, vocabulary]`.
public struct GGUFTensorInfo: Sendable, Hashable {
  /// The tensor's name, such as `blk.0.attn_q.weight`.
  public let name: String
  /// Elements in each dimension, fastest first; one to four dimensions, none of them zero.
  public let shape: [Int]
  /// How the elements are stored.
  public let type: GGUFTensorType
  /// Bytes of the tensor.
  public let byteCount: Int
  /// Where the tensor's first byte lies, counted from the first byte of the file.
  public let fileOffset: Int

  /// The number of elements: the product of the shape.
  public var elementCount: Int { shape.reduce(1, *) }
}
