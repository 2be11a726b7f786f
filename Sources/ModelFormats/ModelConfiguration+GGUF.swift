extension ModelConfiguration {
  /// Reads the configuration of a GGUF file.
  ///
  /// Throws `unsupportedArchitecture`, or names the metadata key that is missing, of the wrong type
  /// or out of its range. A file that holds a vocabulary only has a configuration, too.
  public init(_ file: GGUFFile) throws(ModelFormatError) {
    do {
      try self.init(metadata: file.metadata, tensors: file.tensors)
    } catch {
      throw error.naming(file.path)
    }
  }

  /// Reads the configuration from metadata and the tensors that come with it.
  public init(
    metadata: GGUFMetadata, tensors: [GGUFTensorInfo]
  ) throws(ModelFormatError) {
    architecture = try .named(try metadata.string("general.architecture"))
    let fields = Fields(metadata: metadata, prefix: architecture.name)
    try fields.refuseExperts()
    contextLength = try fields.number("context_length", in: 1...(1 << 24))
    layers = try fields.number("block_count", in: 1...1_024)
    width = try fields.number("embedding_length", in: 1...(1 << 17))
    feedForwardLength = try fields.number("feed_forward_length", in: 1...(1 << 20))
    attentionHeads = try fields.number("attention.head_count", in: 1...1_024)
    keyValueHeads = try fields.number(
      "attention.head_count_kv", in: 1...1_024, default: attentionHeads)
    guard attentionHeads % keyValueHeads == 0 else {
      throw fields.invalid(
        "attention.head_count_kv", "\(keyValueHeads)",
        "it must divide the \(attentionHeads) query heads")
    }
    headDimension = try Self.headDimension(fields, width: width, heads: attentionHeads)
    ropeDimension = try fields.number(
      "rope.dimension_count", in: 2...headDimension, default: headDimension)
    guard ropeDimension % 2 == 0 else {
      throw fields.invalid("rope.dimension_count", "\(ropeDimension)", "it must be even")
    }
    ropeBase = try fields.float(
      "rope.freq_base", in: 1...1e12, default: architecture.defaultRopeBase)
    ropeScaling = try RopeScaling.read(metadata, prefix: architecture.name)
    rmsEpsilon = try fields.float("attention.layer_norm_rms_epsilon", in: 0...0.1)
    vocabularySize = try Self.vocabularySize(fields, tensors)
    hasTiedOutput = !tensors.contains { $0.name == "output.weight" }
  }

  private static func headDimension(
    _ fields: Fields, width: Int, heads: Int
  ) throws(ModelFormatError) -> Int {
    let stated = try fields.numberIfPresent("attention.key_length", in: 2...1_024)
    guard let dimension = stated ?? (width % heads == 0 ? width / heads : nil),
      (2...1_024).contains(dimension)
    else {
      throw fields.invalid(
        "attention.head_count", "\(heads)",
        "it must divide the width of \(width) into heads of 2 to 1024 elements where "
          + "attention.key_length is not stated")
    }
    let values = try fields.number("attention.value_length", in: 2...1_024, default: dimension)
    guard values == dimension else {
      throw fields.invalid(
        "attention.value_length", "\(values)", "it must be the key length, \(dimension)")
    }
    return dimension
  }

  private static func vocabularySize(
    _ fields: Fields, _ tensors: [GGUFTensorInfo]
  ) throws(ModelFormatError) -> Int {
    let range = 1...(1 << 22)
    var size = try fields.numberIfPresent("vocab_size", in: range)
    if case .array(let pieces) = fields.metadata["tokenizer.ggml.tokens"] {
      guard size == nil || size == pieces.count else {
        throw fields.invalid(
          "vocab_size", "\(size ?? 0)", "the vocabulary has \(pieces.count) pieces")
      }
      size = pieces.count
    }
    if let embedding = tensors.first(where: { $0.name == "token_embd.weight" }) {
      let rows = embedding.shape.count == 2 ? embedding.shape[1] : 0
      guard size == nil || size == rows else {
        throw fields.invalid(
          "vocab_size", "\(size ?? 0)", "token_embd.weight has the shape \(embedding.shape)")
      }
      size = rows
    }
    guard let size, range.contains(size) else {
      throw fields.invalid(
        "vocab_size", "\(size ?? 0)", "it must be from 1 to \(range.upperBound)")
    }
    return size
  }
}

/// The metadata keys of one family, with range checks.
private struct Fields {
  let metadata: GGUFMetadata
  let prefix: String

  func number(
    _ name: String, in range: ClosedRange<Int>, default fallback: Int? = nil
  ) throws(ModelFormatError) -> Int {
    if let fallback {
      return try numberIfPresent(name, in: range) ?? fallback
    }
    return try check(metadata.int("\(prefix).\(name)"), name, range)
  }

  func numberIfPresent(
    _ name: String, in range: ClosedRange<Int>
  ) throws(ModelFormatError) -> Int? {
    guard let value = try metadata.optional("\(prefix).\(name)", as: Int.self) else { return nil }
    return try check(value, name, range)
  }

  func float(
    _ name: String, in range: ClosedRange<Float>, default fallback: Float? = nil
  ) throws(ModelFormatError) -> Float {
    let key = "\(prefix).\(name)"
    if let fallback, metadata[key] == nil { return fallback }
    return try check(metadata.float32(key), name, range)
  }

  /// Mixtures of experts share the architecture's name and not its feed-forward block.
  func refuseExperts() throws(ModelFormatError) {
    let experts = try metadata.optional("\(prefix).expert_count", as: Int.self) ?? 0
    guard experts == 0 else {
      throw ModelFormatError(
        code: .unsupportedArchitecture,
        message: "The model is a mixture of \(experts) experts (\(prefix).expert_count), which is "
          + "not supported; use a dense model.")
    }
  }

  func invalid(_ name: String, _ value: String, _ rule: String) -> ModelFormatError {
    ModelFormatError(
      code: .invalidValue,
      message: "'\(prefix).\(name)' is \(value); \(rule). Convert the model again.")
  }

  private func check<Number: Comparable>(
    _ value: Number, _ name: String, _ range: ClosedRange<Number>
  ) throws(ModelFormatError) -> Number {
    guard range.contains(value) else {
      throw invalid(
        name, "\(value)", "it must be from \(range.lowerBound) to \(range.upperBound)")
    }
    return value
  }
}
