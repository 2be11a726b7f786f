/// A Swift type that a metadata value can be read as.
public protocol GGUFDecodable {
  /// What error messages call the type.
  static var ggufTypeName: String { get }
  /// The value, or nil when it is of another type or does not fit.
  init?(_ value: GGUFValue)
}

extension String: GGUFDecodable {
  public static var ggufTypeName: String { "a string" }
  public init?(_ value: GGUFValue) {
    guard case .string(let text) = value else { return nil }
    self = text
  }
}

extension Bool: GGUFDecodable {
  public static var ggufTypeName: String { "a bool" }
  public init?(_ value: GGUFValue) {
    guard case .bool(let flag) = value else { return nil }
    self = flag
  }
}

extension Int: GGUFDecodable {
  public static var ggufTypeName: String { "a whole number" }
  public init?(_ value: GGUFValue) {
    guard let number = value.integer else { return nil }
    self = number
  }
}

extension UInt32: GGUFDecodable {
  public static var ggufTypeName: String { "a whole number from 0 to 4294967295" }
  public init?(_ value: GGUFValue) {
    guard let number = value.integer.flatMap(UInt32.init(exactly:)) else { return nil }
    self = number
  }
}

extension Int32: GGUFDecodable {
  public static var ggufTypeName: String { "a whole number from -2147483648 to 2147483647" }
  public init?(_ value: GGUFValue) {
    guard let number = value.integer.flatMap(Int32.init(exactly:)) else { return nil }
    self = number
  }
}

extension Float: GGUFDecodable {
  public static var ggufTypeName: String { "a float32" }
  public init?(_ value: GGUFValue) {
    switch value {
    case .float32(let number): self = number
    case .float64(let number): self = Float(number)
    default: return nil
    }
  }
}

extension Array: GGUFDecodable where Element: GGUFArrayElement {
  public static var ggufTypeName: String { "an array of \(Element.ggufElementName)" }
  public init?(_ value: GGUFValue) {
    guard case .array(let array) = value, let elements = Element.elements(of: array) else {
      return nil
    }
    self = elements
  }
}

/// A Swift type that the elements of a metadata array can be read as.
public protocol GGUFArrayElement {
  /// What error messages call the elements.
  static var ggufElementName: String { get }
  /// The elements, or nil when they are of another type or do not fit.
  static func elements(of array: GGUFArray) -> [Self]?
}

extension String: GGUFArrayElement {
  public static var ggufElementName: String { "strings" }
  public static func elements(of array: GGUFArray) -> [String]? {
    guard case .string(let values) = array else { return nil }
    return values
  }
}

extension Float: GGUFArrayElement {
  public static var ggufElementName: String { "float32 numbers" }
  public static func elements(of array: GGUFArray) -> [Float]? {
    guard case .float32(let values) = array else { return nil }
    return values
  }
}

extension Int32: GGUFArrayElement {
  public static var ggufElementName: String { "int32 numbers" }
  public static func elements(of array: GGUFArray) -> [Int32]? {
    switch array {
    case .int32(let values): return values
    case .uint32(let values):
      let narrowed = values.compactMap(Int32.init(exactly:))
      return narrowed.count == values.count ? narrowed : nil
    default: return nil
    }
  }
}
