/// A family of models that share their layers: an entry of the table of what is known here.
///
/// To add a family whose configuration has the same fields, add an entry to ``known``; what differs
/// in its layers belongs to the engine.
public struct ModelArchitecture: Sendable, Hashable {
  /// Which elements of a head are rotated together by RoPE.
  public enum RopePairing: String, Sendable {
    /// Elements 2i and 2i + 1 (ggml's "normal").
    case adjacent
    /// Elements i and i + half of the rotated dimensions (ggml's "neox").
    case halves
  }

  /// The name under `general.architecture`, and the prefix of the family's metadata keys.
  public let name: String
  /// Which elements of a head are rotated together.
  public let ropePairing: RopePairing
  /// The base of the rotation's frequencies where the file states none.
  public let defaultRopeBase: Float

  /// The families that are known here.
  public static let known: [ModelArchitecture] = [
    ModelArchitecture(name: "llama", ropePairing: .adjacent, defaultRopeBase: 10_000)
  ]

  /// The family of that name; throws `unsupportedArchitecture` with the names that are known.
  public static func named(_ name: String) throws(ModelFormatError) -> ModelArchitecture {
    guard let architecture = known.first(where: { $0.name == name }) else {
      let names = known.map(\.name).joined(separator: ", ")
      throw ModelFormatError(
        code: .unsupportedArchitecture,
        message: "The architecture \(quoted(name)) is not supported; supported: \(names).")
    }
    return architecture
  }
}
