/// How positions beyond the trained context are squeezed into it, as the file's metadata says.
public struct RopeScaling: Sendable, Hashable {
  /// The method.
  public enum Method: String, Sendable {
    /// Positions are divided by the factor.
    case linear
    /// Frequencies are blended between interpolation and extrapolation (arXiv:2309.00071).
    case yarn
    /// Each frequency has a factor of its own, in tensors of the file (arXiv:2402.13753).
    case longrope
  }

  /// The method.
  public let method: Method
  /// How many times longer than in training a context may be.
  public let factor: Float
  /// The context of the training, in tokens, where the file says.
  public let originalContextLength: Int?
  /// What attention scores are multiplied with, where the file says.
  public let attentionFactor: Float?

  /// The factors that are accepted: with smaller ones, positions would become angles that are too
  /// large to compute with.
  static let factorRange: ClosedRange<Float> = 0x1p-10...4_096

  /// Reads the fields under `PREFIX.rope.`; nil where the file asks for no scaling.
  static func read(
    _ metadata: GGUFMetadata, prefix: String
  ) throws(ModelFormatError) -> RopeScaling? {
    let root = "\(prefix).rope.scaling"
    let legacyFactor = try metadata.optional("\(prefix).rope.scale_linear", as: Float.self)
    let factor = try metadata.optional("\(root).factor", as: Float.self) ?? legacyFactor
    let name = try metadata.optional("\(root).type", as: String.self)
    if name == "none" { return nil }
    if name == nil, factor ?? 1 == 1 { return nil }
    guard let method = Method(rawValue: name ?? Method.linear.rawValue) else {
      throw ModelFormatError(
        code: .invalidValue,
        message: "'\(root).type' is \(quoted(name ?? "")); known are none, linear, yarn and "
          + "longrope: convert the model again.")
    }
    let value = factor ?? 1
    guard factorRange.contains(value) else {
      let isLegacy = metadata["\(root).factor"] == nil
      throw ModelFormatError(
        code: .invalidValue,
        message: "'\(isLegacy ? "\(prefix).rope.scale_linear" : "\(root).factor")' is \(value); it "
          + "must be from 2^-10 to 4096: convert the model again.")
    }
    return RopeScaling(
      method: method, factor: value,
      originalContextLength: try metadata.optional("\(root).original_context_length"),
      attentionFactor: try metadata.optional("\(root).attn_factor"))
  }
}
