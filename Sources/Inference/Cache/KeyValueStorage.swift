public import Tensors

/// How the KV cache stores keys and values, layer by layer, and of which tokens.
///
/// Written as one type for all layers, such as `f16`, or with exceptions after it: `int8,0-1=f32,15=f16`
/// stores layers 0 and 1 as they are computed, layer 15 in half precision and all others in a byte
/// an element. Layers count from 0; of two exceptions for a layer the later one holds.
/// `f16,window=1024` keeps the last 1,024 tokens only, `f16,window=4+1024` the first four besides.
///
/// What is rounded or left out here changes the text, so it is a part of a model's fingerprint.
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
  /// The tokens that are kept, and seen by those that come; `nil` for all.
  public var window: AttentionWindow?

  /// Makes one.
  public init(
    _ type: KeyValueType, exceptions: [Exception] = [], window: AttentionWindow? = nil
  ) {
    self.type = type
    self.exceptions = exceptions
    self.window = window
  }

  /// What the written form is, for errors.
  public static let form =
    "f32, f16, bf16 or int8, with layers of their own after it as in int8,0-1=f32, or a window of "
    + "tokens as in f16,window=4+1024, the first 4 (at most \(AttentionWindow.maximumSinks)) and "
    + "the last 1024"

  /// Reads the written form; `nil` where it is none.
  public init?(_ text: String) {
    let parts = text.split(separator: ",", omittingEmptySubsequences: false)
    guard let first = parts.first, let type = KeyValueType(rawValue: String(first)) else {
      return nil
    }
    self.init(type)
    for part in parts.dropFirst() {
      let sides = part.split(separator: "=", omittingEmptySubsequences: false).map(String.init)
      if sides.count == 2, sides[0] == "window" {
        guard window == nil, let window = Self.window(sides[1]) else { return nil }
        self.window = window
        continue
      }
      guard sides.count == 2, let layers = Self.layers(sides[0]),
        let type = KeyValueType(rawValue: sides[1])
      else { return nil }
      exceptions.append(Exception(layers: layers, type: type))
    }
  }

  private static func layers(_ text: String) -> ClosedRange<Int>? {
    guard let numbers = numbers(text, separator: "-"), numbers[0] <= numbers[numbers.count - 1]
    else { return nil }
    return numbers[0]...numbers[numbers.count - 1]
  }

  private static func window(_ text: String) -> AttentionWindow? {
    guard let numbers = numbers(text, separator: "+") else { return nil }
    return AttentionWindow(
      tokens: numbers[numbers.count - 1], sinks: numbers.count == 2 ? numbers[0] : 0)
  }

  /// One number or two.
  private static func numbers(_ text: String, separator: Character) -> [Int]? {
    let parts = text.split(separator: separator, omittingEmptySubsequences: false)
    let numbers = parts.compactMap { $0.allSatisfy(\.isNumber) ? Int($0) : nil }
    return (1...2).contains(parts.count) && numbers.count == parts.count ? numbers : nil
  }

  /// The written form.
  public var description: String {
    let types = exceptions.reduce(type.rawValue) { text, exception in
      let (first, last) = (exception.layers.lowerBound, exception.layers.upperBound)
      return text + ",\(first)" + (first == last ? "" : "-\(last)") + "=\(exception.type.rawValue)"
    }
    guard let window else { return types }
    return types + ",window=" + (window.sinks > 0 ? "\(window.sinks)+" : "") + "\(window.tokens)"
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
  /// layer is rounded and no token left out.
  func fingerprint(layers: Int) -> String {
    let seen = window.map { ".window-\($0.sinks)-\($0.tokens)" } ?? ""
    let types = (0..<layers).map(type(ofLayer:))
    guard types.contains(where: { $0 != .f32 }) else { return seen }
    let names = Set(types).count == 1 ? [types[0]] : types
    return ".kv-" + names.map(\.rawValue).joined(separator: "-") + seen
  }
}
