/// The headers or trailers of a call: an ordered list of keys and values, in which keys may repeat.
///
/// Keys are lower case. A key that ends in `-bin` holds bytes, any other holds printable ASCII.
/// Source: gRPC over HTTP/2, "Custom-Metadata".
public struct Metadata: Sendable, Hashable {
  /// What a key holds.
  public enum Content: Sendable, Hashable {
    /// Printable ASCII, for keys without the ending `-bin`.
    case text(String)
    /// Any bytes, for keys with the ending `-bin`.
    case binary([UInt8])
  }

  /// One key and its value.
  public struct Entry: Sendable, Hashable {
    /// The key, in lower case.
    public let key: String
    /// The value.
    public let value: Content
  }

  /// All entries, in the order in which they were added or received.
  public private(set) var entries: [Entry] = []

  /// Makes an empty list.
  public init() {}

  /// Adds a text. The key is made lower case.
  public mutating func append(_ key: String, _ text: String) {
    entries.append(Entry(key: key.lowercased(), value: .text(text)))
  }

  /// Adds bytes under a key that ends in `-bin`. The key is made lower case.
  public mutating func append(_ key: String, binary: [UInt8]) {
    entries.append(Entry(key: key.lowercased(), value: .binary(binary)))
  }

  /// The first text under this key.
  public subscript(key: String) -> String? {
    for entry in entries where entry.key == key {
      if case .text(let text) = entry.value { return text }
    }
    return nil
  }

  /// The first bytes under this key.
  public subscript(binary key: String) -> [UInt8]? {
    for entry in entries where entry.key == key {
      if case .binary(let bytes) = entry.value { return bytes }
    }
    return nil
  }

  /// Whether there is nothing in it.
  public var isEmpty: Bool { entries.isEmpty }
}

extension Metadata: ExpressibleByDictionaryLiteral {
  /// What a literal's keys are.
  public typealias Key = String
  /// What a literal's values are.
  public typealias Value = String

  /// Makes a list of texts.
  public init(dictionaryLiteral elements: (String, String)...) {
    for (key, text) in elements { append(key, text) }
  }
}

extension Metadata {
  /// Takes a key out and returns its first bytes.
  package mutating func removeBinary(_ key: String) -> [UInt8]? {
    let bytes = self[binary: key]
    entries.removeAll { $0.key == key }
    return bytes
  }
}
