import CKernels

/// Where one layer's keys and values lie in the paged cache; the layout is told at `mk_kv_layer`.
package struct KeyValueLayer {
  /// The sizes that the layout follows from.
  package struct Shape: Hashable {
    /// How elements are stored.
    package var type: KeyValueType
    /// Tokens in a block, a multiple of 16.
    package var blockTokens: Int
    /// Key-value heads.
    package var heads: Int
    /// Elements of a head.
    package var headDimension: Int

    package init(type: KeyValueType, blockTokens: Int, heads: Int, headDimension: Int) {
      self.type = type
      self.blockTokens = blockTokens
      self.heads = heads
      self.headDimension = headDimension
    }

    /// Bytes of one block of the layer.
    package var blockBytes: Int { keyBytes + valueBytes + 2 * scaleBytes }

    fileprivate var keyBytes: Int { blockTokens * heads * headDimension * type.elementBytes }
    fileprivate var valueBytes: Int {
      blockTokens * heads * KeyValueLayer.paddedDimension(headDimension) * type.elementBytes
    }
    fileprivate var scaleBytes: Int { blockTokens * heads * type.scaleBytes }
  }

  /// The sizes.
  package let shape: Shape
  private let keys: UnsafeMutableRawPointer
  private let values: UnsafeMutableRawPointer
  private let scales: UnsafeMutablePointer<Float>
  private let scaleCount: Int

  /// Views the memory of `blocks` blocks, `shape.blockBytes` each, aligned to 16 bytes.
  package init(_ shape: Shape, memory: UnsafeMutableRawPointer, blocks: Int) {
    self.shape = shape
    keys = memory
    values = keys + shape.keyBytes * blocks
    scaleCount = shape.blockTokens * shape.heads * blocks
    scales = (values + shape.valueBytes * blocks).assumingMemoryBound(to: Float.self)
  }

  /// Writes the key and value of all heads of one token.
  package func write(
    block: Int32, offset: Int, key: UnsafePointer<Float>, value: UnsafePointer<Float>
  ) {
    var view = kernel
    mk_kv_write(&view, block, offset, key, value)
  }

  /// Copies all that one block holds over another one.
  package func copy(from: Int32, to: Int32) {
    func copy(_ base: UnsafeMutableRawPointer, bytes: Int) {
      (base + Int(to) * bytes).copyMemory(from: base + Int(from) * bytes, byteCount: bytes)
    }
    copy(keys, bytes: shape.keyBytes)
    copy(values, bytes: shape.valueBytes)
    copy(scales, bytes: shape.scaleBytes)
    copy(scales + scaleCount, bytes: shape.scaleBytes)
  }

  /// A head's elements as values are stored: rounded up to a multiple of 16.
  package static func paddedDimension(_ headDimension: Int) -> Int {
    (headDimension + 15) / 16 * 16
  }

  /// Tokens that attention takes at a time; a block's tokens are a multiple of it.
  package static var tileTokens: Int { Int(MK_KEY_TILE) }

  var kernel: mk_kv_layer {
    let scaled = shape.type.scaleBytes > 0
    return mk_kv_layer(
      type: shape.type.kernel, keys: keys, values: values, key_scales: scaled ? scales : nil,
      value_scales: scaled ? scales + scaleCount : nil, block_tokens: shape.blockTokens,
      kv_heads: shape.heads, head_dim: shape.headDimension,
      value_dim: Self.paddedDimension(shape.headDimension))
  }
}
