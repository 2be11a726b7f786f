import CKernels

/// Where one layer's keys and values lie in the paged cache; the layout is told at `mk_kv_layer`.
package struct KeyValueLayer {
  /// Tokens in a block, a multiple of 16.
  package let blockTokens: Int
  /// Key-value heads.
  package let heads: Int
  /// Elements of a head.
  package let headDimension: Int
  private let keys: UnsafeMutablePointer<Float>
  private let values: UnsafeMutablePointer<Float>

  /// Views memory of `keyFloats` and `valueFloats` a block.
  package init(
    keys: UnsafeMutablePointer<Float>, values: UnsafeMutablePointer<Float>, blockTokens: Int,
    heads: Int, headDimension: Int
  ) {
    self.keys = keys
    self.values = values
    self.blockTokens = blockTokens
    self.heads = heads
    self.headDimension = headDimension
  }

  /// Writes the key and value of all heads of one token.
  package func write(
    block: Int32, offset: Int, key: UnsafePointer<Float>, value: UnsafePointer<Float>
  ) {
    var view = kernel
    mk_kv_write(&view, block, offset, key, value)
  }

  /// A head's elements as values are stored: rounded up to a multiple of 16.
  package static func paddedDimension(_ headDimension: Int) -> Int {
    (headDimension + 15) / 16 * 16
  }

  /// Tokens that attention takes at a time; a block's tokens are a multiple of it.
  package static var tileTokens: Int { Int(MK_KEY_TILE) }

  var kernel: mk_kv_layer {
    mk_kv_layer(
      keys: keys, values: values, block_tokens: blockTokens, kv_heads: heads,
      head_dim: headDimension, value_dim: Self.paddedDimension(headDimension))
  }
}
