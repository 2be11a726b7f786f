import ModelFormats
import Tensors

/// The weights of a decoder of the Llama family, ready for the kernels.
final class DecoderWeights: Sendable {
  /// One layer: RMSNorm, attention with grouped queries, RMSNorm, SwiGLU.
  struct Layer: Sendable {
    let attentionNorm: [Float]
    /// For queries, keys and values.
    let attentionInput: MatrixStack
    let attentionOutput: MatrixStack
    let feedForwardNorm: [Float]
    let gate: MatrixStack
    let up: MatrixStack
    let down: MatrixStack

    /// Those of `attentionInput` apart, for tokens of which only keys and values are wanted.
    let query: MatrixStack
    let keyAndValue: MatrixStack

    var matrices: [PackedMatrix] {
      [attentionInput, attentionOutput, gate, up, down].flatMap(\.matrices)
    }
  }

  let embedding: EmbeddingTable
  let layers: [Layer]
  let outputNorm: [Float]
  let output: MatrixStack
  /// What each rotation frequency is divided by; empty for nothing.
  let ropeFactors: [Float]
  /// What every rotation frequency is multiplied by.
  let ropeScale: Double

  /// The factors that rotation frequencies may be divided by, from the largest that occur with room
  /// to spare: beyond these, angles could not be reduced (see `mk_rope_table`).
  static let ropeFactorRange: ClosedRange<Float> = 0x1p-10...0x1p20

  /// Bytes of the packed matrices and the embedding.
  var byteCount: Int {
    (layers.flatMap(\.matrices) + output.matrices).reduce(embedding.byteCount) {
      $0 + $1.layout.byteCount
    }
  }

  /// Reads all tensors, and repacks those whose memory is not filled yet; throws naming the first that is wrong.
  init(
    file: GGUFFile, configuration: ModelConfiguration, memory: any WeightMemory, pool: ThreadPool
  ) throws(InferenceError) {
    let tensors = ModelTensors(file: file, memory: memory, pool: pool)
    let width = configuration.width
    let vocabulary = configuration.vocabularySize
    ropeScale = try Self.ropeScale(configuration)
    embedding = try EmbeddingTable(tensors: tensors, vocabulary: vocabulary, width: width)
    var layers: [Layer] = []
    for index in 0..<configuration.layers {
      guard !Task.isCancelled else {
        throw InferenceError(code: .cancelled, message: "Loading the model was cancelled.")
      }
      layers.append(try Self.layer(index, tensors, configuration))
    }
    self.layers = layers
    outputNorm = try tensors.vector("output_norm.weight", count: width)
    output = MatrixStack(
      try tensors.matrix(
        configuration.hasTiedOutput ? EmbeddingTable.tensorName : "output.weight",
        rows: vocabulary, columns: width))
    ropeFactors =
      try tensors.vectorIfPresent(
        "rope_freqs.weight", count: configuration.ropeDimension / 2) ?? []
    guard ropeFactors.allSatisfy(Self.ropeFactorRange.contains) else {
      throw InferenceError(
        code: .tensorInvalid,
        message: "The tensor rope_freqs.weight holds factors that are not from 2^-10 to 2^20; "
          + "convert the model again.",
        context: ["tensor": "rope_freqs.weight"])
    }
    try tensors.refuseUnused()
  }

  private static func layer(
    _ index: Int, _ tensors: ModelTensors, _ configuration: ModelConfiguration
  ) throws(InferenceError) -> Layer {
    let width = configuration.width
    let queries = configuration.attentionHeads * configuration.headDimension
    let keys = configuration.keyValueHeads * configuration.headDimension
    let hidden = configuration.feedForwardLength
    let prefix = "blk.\(index)."
    let attentionNorm = try tensors.vector(prefix + "attn_norm.weight", count: width)
    let query = try tensors.matrix(prefix + "attn_q.weight", rows: queries, columns: width)
    let key = try tensors.matrix(prefix + "attn_k.weight", rows: keys, columns: width)
    let value = try tensors.matrix(prefix + "attn_v.weight", rows: keys, columns: width)
    return Layer(
      attentionNorm: attentionNorm,
      attentionInput: MatrixStack(query, key, value),
      attentionOutput: MatrixStack(
        try tensors.matrix(prefix + "attn_output.weight", rows: width, columns: queries)),
      feedForwardNorm: try tensors.vector(prefix + "ffn_norm.weight", count: width),
      gate: MatrixStack(
        try tensors.matrix(prefix + "ffn_gate.weight", rows: hidden, columns: width)),
      up: MatrixStack(
        try tensors.matrix(prefix + "ffn_up.weight", rows: hidden, columns: width)),
      down: MatrixStack(
        try tensors.matrix(prefix + "ffn_down.weight", rows: width, columns: hidden)),
      query: MatrixStack(query), keyAndValue: MatrixStack(key, value))
  }

  private static func ropeScale(
    _ configuration: ModelConfiguration
  ) throws(InferenceError) -> Double {
    guard let scaling = configuration.ropeScaling else { return 1 }
    guard scaling.method == .linear else {
      throw InferenceError(
        code: .modelUnsupported,
        message:
          "The model scales positions by \(scaling.method.rawValue), which is not supported; "
          + "supported are none, linear and the factors of rope_freqs.weight.")
    }
    return 1 / Double(scaling.factor)
  }
}
