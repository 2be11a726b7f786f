public import Tensors

/// How the KV cache stores keys and values, layer by layer.
///
/// Written as one type for all layers, such as `f16`, or with exceptions after it: `int8,0-1=f32,15=f16`
/// stores layers 0 and 1 as they are computed, layer 15 in half precision and all others in a byte
/// an element. Layers count from 0; of two exceptions for a layer the later one holds.
///
/// What is rounded here changes the text, so it is a part of a model's fingerprint.
public struct KeyValueStorage: Sendable, Hashable, CustomStringConvertible {
  /// Layers that are stored in a way of their own.
  public struct Exception: Sendable, Hashable {
    /// Which layers.
    public var layers: ClosedRange<Int>
    /// How.
    public var type: KeyValueType

    /// Makes one.
    public init(layers: ClosedRange<Int>, type: KeyValueType) {
      self.layers = layers
      self.type = type
    }
  }

  /// The type of all layers that no exception names.
  public var type: KeyValueType
  /// The exceptions.
  public var exceptions: [Exception]

  /// Makes one.
  public init(_ type: KeyValueType, exceptions: [Exception] = []) {
    self.type = type
    self.exceptions = exceptions
  }

  /// What the written form is, for errors.
  public static let form =
    "f32, f16, bf16 or int8, with layers of their own after it as in int8,0-1=f32"

  /// Reads the written form; `nil` where it is none.
  public init?(_ text: String) {
    let parts = text.split(separator: ",", omittingEmptySubsequences: false)
    guard let first = parts.first, let type = KeyValueType(rawValue: String(first)) else {
      return nil
    }
    self.init(type)
    for part in parts.dropFirst() {
      let sides = part.split(separator: "=", omittingEmptySubsequences: false).map(String.init)
      guard sides.count == 2, let layers = Self.layers(sides[0]),
        let type = KeyValueType(rawValue: sides[1])
      else { return nil }
      exceptions.append(Exception(layers: layers, type: type))
    }
  }

  private static func layers(_ text: String) -> ClosedRange<Int>? {
    let ends = text.split(separator: "-", omittingEmptySubsequences: false)
    let numbers = ends.compactMap { $0.allSatisfy(\.isNumber) ? Int($0) : nil }
    guard (1...2).contains(ends.count), numbers.count == ends.count, let first = numbers.first,
      let last = numbers.last, first <= last
    else { return nil }
    return first...last
  }

  /// The written form.
  public var description: String {
    exceptions.reduce(type.rawValue) { text, exception in
      let (first, last) = (exception.layers.lowerBound, exception.layers.upperBound)
      return text + ",\(first)" + (first == last ? "" : "-\(last)") + "=\(exception.type.rawValue)"
    }
  }

  /// Throws `optionsInvalid` for an exception that names a layer that a model does not have.
  func check(layers: Int) throws(InferenceError) {
    guard let wrong = exceptions.first(where: { $0.layers.upperBound >= layers }) else { return }
    throw InferenceError(
      code: .optionsInvalid,
      message: "The KV cache storage \(self) names layer \(wrong.layers.upperBound) of a model "
        + "with the layers 0 to \(layers - 1).",
      context: ["field": "keyValueStorage"])
  }

  /// How one layer is stored.
  func type(ofLayer layer: Int) -> KeyValueType {
    exceptions.last { $0.layers.contains(layer) }?.type ?? type
  }

  /// What it adds to a fingerprint: one text for all ways of writing the same, and nothing where no
  /// layer is rounded.
  func fingerprint(layers: Int) -> String {
    let types = (0..<layers).map(type(ofLayer:))
    guard types.contains(where: { $0 != .f32 }) else { return "" }
    let names = Set(types).count == 1 ? [types[0]] : types
    return ".kv-" + names.map(\.rawValue).joined(separator: "-")
  }
}
