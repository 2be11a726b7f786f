import ModelFormats
import Tensors

/// The keys and values of all sequences, in blocks of a fixed number of tokens.
///
/// Memory is reserved once; the system gives pages as blocks are first used. float32. Which blocks
/// hold what is `BlockPool`'s affair.
final class KeyValueCache {
  private let storage: AlignedBuffer<Float>
  private let layers: [KeyValueLayer]

  /// Reserves memory for `blocks` blocks; throws `outOfMemory`.
  init(
    configuration: ModelConfiguration, blockTokens: Int, blocks: Int
  ) throws(InferenceError) {
    let heads = configuration.keyValueHeads
    let keyFloats = blockTokens * heads * configuration.headDimension
    let valueFloats =
      blockTokens * heads * KeyValueLayer.paddedDimension(configuration.headDimension)
    let layerFloats = (keyFloats + valueFloats) * blocks
    let storage: AlignedBuffer<Float>
    do {
      storage = try AlignedBuffer(count: layerFloats * configuration.layers, zeroed: false)
    } catch {
      throw InferenceError(error)
    }
    self.storage = storage
    layers = (0..<configuration.layers).map { layer in
      let keys = storage.base + layer * layerFloats
      return KeyValueLayer(
        keys: keys, values: keys + keyFloats * blocks, blockTokens: blockTokens, heads: heads,
        headDimension: configuration.headDimension)
    }
  }

  /// One layer's part.
  subscript(layer: Int) -> KeyValueLayer { layers[layer] }

  /// Bytes of one block over all layers.
  static func blockBytes(_ configuration: ModelConfiguration, blockTokens: Int) -> Int {
    let padded = KeyValueLayer.paddedDimension(configuration.headDimension)
    let tokenFloats = configuration.keyValueHeads * (configuration.headDimension + padded)
    return tokenFloats * blockTokens * configuration.layers * MemoryLayout<Float>.stride
  }
}
