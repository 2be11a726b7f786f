import ModelFormats
import Tensors

/// The keys and values of all sequences, in blocks of a fixed number of tokens.
///
/// Memory is reserved once; the system gives pages as blocks are first used. Each layer stores as
/// `KeyValueStorage` says. Which blocks hold what is `BlockPool`'s affair.
final class KeyValueCache {
  private let memory: AlignedBuffer<UInt8>
  private let layers: [KeyValueLayer]

  /// Reserves memory for `blocks` blocks; throws `outOfMemory`.
  init(
    configuration: ModelConfiguration, storage: KeyValueStorage, blockTokens: Int, blocks: Int
  ) throws(InferenceError) {
    let shapes = Self.shapes(configuration, storage, blockTokens)
    // Each layer begins on a cache line.
    let sizes = shapes.map { ($0.blockBytes * blocks + 63) / 64 * 64 }
    do {
      memory = try AlignedBuffer(count: sizes.reduce(0, +), zeroed: false)
    } catch {
      throw InferenceError(error)
    }
    var layers: [KeyValueLayer] = []
    var next = UnsafeMutableRawPointer(memory.base)
    for (shape, size) in zip(shapes, sizes) {
      layers.append(KeyValueLayer(shape, memory: next, blocks: blocks))
      next += size
    }
    self.layers = layers
  }

  /// One layer's part.
  subscript(layer: Int) -> KeyValueLayer { layers[layer] }

  /// Copies a block's keys and values, of all layers, over those of another one.
  func copy(_ copy: BlockCopy) {
    for layer in layers { layer.copy(from: copy.from, to: copy.to) }
  }

  /// Bytes of one block over all layers.
  static func blockBytes(
    _ configuration: ModelConfiguration, storage: KeyValueStorage, blockTokens: Int
  ) -> Int {
    shapes(configuration, storage, blockTokens).reduce(0) { $0 + $1.blockBytes }
  }

  private static func shapes(
    _ configuration: ModelConfiguration, _ storage: KeyValueStorage, _ blockTokens: Int
  ) -> [KeyValueLayer.Shape] {
    (0..<configuration.layers).map { layer in
      KeyValueLayer.Shape(
        type: storage.type(ofLayer: layer), blockTokens: blockTokens,
        heads: configuration.keyValueHeads, headDimension: configuration.headDimension)
    }
  }
}
